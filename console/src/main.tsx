/** Start of the console. */

import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { startLive } from "@/app/live";
import { LoginGate } from "@/app/login-gate";
import { queries } from "@/app/queries";
import { router } from "@/app/routes";
import { applyTheme } from "@/app/theme";
import { applyLanguage } from "@/i18n";
import { hideCode } from "@/pages/login/code";
import { Toasts } from "@/ui/toasts";
import "@/ui/tokens.css";
import "@/ui/base.css";

hideCode();
applyTheme();

async function start(): Promise<void> {
  await applyLanguage();
  const place = document.getElementById("app");
  if (!place) return;
  createRoot(place).render(
    <StrictMode>
      <QueryClientProvider client={queries}>
        <LoginGate onEntered={() => startLive(queries)}>
          <RouterProvider router={router} />
        </LoginGate>
        <Toasts />
      </QueryClientProvider>
    </StrictMode>,
  );
}

void start();
