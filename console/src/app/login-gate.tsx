/** Gate of the pages: who is not logged in logs in first, at the wanted address; who is stays on it when the login ends. */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { createContext, lazy, type ReactNode, Suspense, useContext, useEffect } from "react";
import { ApiProblem } from "@/api/client";
import { type CurrentLogin, loginQuery } from "@/api/login";
import { setLoginEnded, useLoginEnded } from "@/app/login-state";
import { ProblemCard } from "@/ui/card";

const LoginPage = lazy(() => import("@/pages/login/login-page").then((file) => ({ default: file.LoginPage })));
const EndedLogin = lazy(() => import("@/app/ended-login").then((file) => ({ default: file.EndedLogin })));

const Login = createContext<CurrentLogin | null>(null);

/** Return who is logged in. */
export function useLogin(): CurrentLogin {
  const login = useContext(Login);
  if (login === null) throw new Error("used outside of LoginGate");
  return login;
}

/** `onEntered` is called once, when somebody is logged in. */
export function LoginGate({ children, onEntered }: { children: ReactNode; onEntered: () => void }) {
  const queries = useQueryClient();
  const login = useQuery(loginQuery);
  const ended = useLoginEnded();
  const isIn = login.data !== undefined;
  // biome-ignore lint/correctness/useExhaustiveDependencies: once
  useEffect(() => {
    if (isIn) onEntered();
  }, [isIn]);
  const entered = () => {
    setLoginEnded(false);
    void queries.invalidateQueries();
  };
  if (login.data === undefined) {
    if (login.error instanceof ApiProblem && login.error.status === 401)
      return (
        <Suspense>
          <LoginPage onEntered={entered} />
        </Suspense>
      );
    if (login.error) return <ProblemCard error={login.error} onRetry={() => void login.refetch()} />;
    return null;
  }
  return (
    <Login value={login.data}>
      {children}
      {ended && (
        <Suspense>
          <EndedLogin onEntered={entered} />
        </Suspense>
      )}
    </Login>
  );
}
