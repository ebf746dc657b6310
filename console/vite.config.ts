/// <reference types="vitest/config" />
import optimizeLocales from "@react-aria/optimize-locales-plugin";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The manager replaces the placeholder by a nonce of each answer, see docs/console.md.
const CSP_NONCE = "__CSP_NONCE__";
const manager = process.env.MANAGER ?? "http://127.0.0.1:8080";

export default defineConfig({
  base: "/console/",
  plugins: [react(), { ...optimizeLocales.vite({ locales: ["en-US", "ko-KR", "ja-JP"] }), enforce: "pre" }],
  resolve: { alias: { "@": new URL("./src", import.meta.url).pathname } },
  html: { cspNonce: CSP_NONCE },
  build: {
    outDir: "../build/console",
    emptyOutDir: true,
    license: { fileName: "licenses.md" },
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2023",
    reportCompressedSize: false,
  },
  server: {
    // The field Host stays as the browser sent it: the manager takes changes from its own origin only.
    proxy: { "/v1": { target: manager } },
  },
  test: { environment: "happy-dom", include: ["src/**/*.test.{ts,tsx}"] },
});
