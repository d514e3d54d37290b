// A zip of files as they are (method 0, "stored"), after APPNOTE.TXT 6.3.10 of PKWARE.

const UTF8_NAMES = 0x0800;
const VERSION = 20;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

function crc32(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = (value >>> 8) ^ TABLE[(value ^ byte) & 0xff];
  return (value ^ 0xffffffff) >>> 0;
}

// Return bytes for [value, size] pairs, little-endian.
function packed(...fields) {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [, size]) => sum + size, 0)));
  let at = 0;
  for (const [value, size] of fields) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return new Uint8Array(view.buffer);
}

// Return a Blob with the files, [name, Uint8Array] each; names must differ.
export function zipped(files) {
  const parts = [], directory = [];
  let offset = 0, directorySize = 0;
  for (const [name, data] of files) {
    const encoded = new TextEncoder().encode(name);
    const about = [[VERSION, 2], [UTF8_NAMES, 2], [0, 2], [0, 2], [0x21, 2], [crc32(data), 4], [data.length, 4],
      [data.length, 4], [encoded.length, 2], [0, 2]];
    const local = packed([0x04034b50, 4], ...about);
    const entry = packed([0x02014b50, 4], [VERSION, 2], ...about, [0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]);
    parts.push(local, encoded, data);
    directory.push(entry, encoded);
    offset += local.length + encoded.length + data.length;
    directorySize += entry.length + encoded.length;
  }
  const end = packed([0x06054b50, 4], [0, 2], [0, 2], [files.length, 2], [files.length, 2], [directorySize, 4], [offset, 4], [0, 2]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}
