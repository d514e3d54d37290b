"""Operations on pixels of any format: colours, bit depth, orientation, size."""
