/** Sender of one file by tus: in parts, tried again, continued where a part of it is there already. */

import { Upload } from "tus-js-client";
import { brokenOffUploads, uploadsUrl } from "@/api/folders";
import type { Send } from "@/lib/upload-queue";

const PART_BYTES = 64 * 2 ** 20;
const RETRY_MS = [0, 1000, 3000, 10_000, 30_000];

/** Return what sends files into a folder. An upload that was broken off, here or elsewhere, is continued. */
export async function senderInto(folder: string): Promise<Send> {
  const url = uploadsUrl(folder);
  const broken = await brokenOffUploads(folder);
  /** Where those are that were broken off in this page. */
  const begun = new Map<File, string>();
  return ({ path, file }, sent, signal) =>
    new Promise((resolve, reject) => {
      const other = broken.items.find((one) => one.path === path && one.size_bytes === file.size);
      const keep = () => upload.url && begun.set(file, upload.url);
      const upload = new Upload(file, {
        endpoint: url,
        uploadUrl: begun.get(file) ?? (other ? `${url}/${other.id}` : null),
        chunkSize: PART_BYTES,
        retryDelays: RETRY_MS,
        storeFingerprintForResuming: false,
        headers: { "X-Headrace-Console": "1" },
        metadata: { path },
        onProgress: (bytes) => sent(bytes),
        onSuccess: () => resolve(),
        onError: (error) => {
          keep();
          reject(new Error(reasonOf(error)));
        },
      });
      signal.addEventListener("abort", () => {
        keep();
        void upload.abort();
        reject(new DOMException("paused", "AbortError"));
      });
      upload.start();
    });
}

/** Return the API's words, where it answered. */
function reasonOf(error: Error): string {
  const response = "originalResponse" in error ? (error.originalResponse as { getBody(): string } | null) : null;
  try {
    const problem = JSON.parse(response?.getBody() ?? "") as { detail?: string; title?: string };
    return problem.detail ?? problem.title ?? error.message;
  } catch {
    return error.message;
  }
}
