// Writes NAME.br and NAME.gz beside each text file below a folder that is smaller so: node scripts/compress.mjs FOLDER
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";

const TEXT = /\.(css|js|json|md|svg|txt|webmanifest)$/;
const forms = {
  ".br": (content) => promisify(brotliCompress)(content, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: content.length } }),
  ".gz": (content) => promisify(gzip)(content, { level: 9 }),
};

const folder = process.argv[2];
for (const name of await readdir(folder, { recursive: true })) {
  if (!TEXT.test(name)) continue;
  const path = join(folder, name);
  const content = await readFile(path);
  for (const [end, compress] of Object.entries(forms)) {
    const compressed = await compress(content); // brotli's quality is the best one unless another is given
    if (compressed.length < content.length) await writeFile(path + end, compressed);
  }
}
