// segment lesion.onnx photo.jpg mask.png
//
// OpenVINO and OpenCV. OpenVINO ignores the antialiasing of the graph's first Resize, so the image is brought to the
// model's size beforehand, and the probabilities to the image's size afterwards.
#include <iostream>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <openvino/openvino.hpp>

int main(int count, char** words) {
    if (count != 4) {
        std::cerr << "usage: segment MODEL.onnx PHOTO MASK.png\n";
        return 2;
    }
    ov::Core core;
    auto network = core.read_model(words[1]);
    const auto about = [&](const char* key) {
        return std::stof(network->get_rt_info<std::string>("framework", std::string("seglab.") + key));
    };
    const int size = static_cast<int>(about("size"));
    const float threshold = about("threshold");
    // Left to itself, OpenVINO computes in bf16 wherever the processor can.
    auto model = core.compile_model(network, "CPU", ov::hint::inference_precision(ov::element::f32));

    const cv::Mat photo = cv::imread(words[2], cv::IMREAD_COLOR);
    if (photo.empty()) {
        std::cerr << words[2] << " is not an image\n";
        return 1;
    }
    cv::Mat image;  // uint8 (S, S, 3), RGB
    cv::resize(photo, image, {size, size}, 0, 0, cv::INTER_AREA);
    cv::cvtColor(image, image, cv::COLOR_BGR2RGB);

    auto request = model.create_infer_request();
    const auto side = static_cast<size_t>(size);
    request.set_tensor("image", ov::Tensor(ov::element::u8, {1, side, side, 3}, image.data));
    request.infer();
    const cv::Mat prob(size, size, CV_32F, request.get_tensor("prob").data<float>());

    cv::Mat full;
    cv::resize(prob, full, photo.size(), 0, 0, cv::INTER_LINEAR);
    cv::imwrite(words[3], full >= threshold);  // uint8 (H, W), 0 or 255
    return 0;
}
