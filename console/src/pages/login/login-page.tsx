/** Login: by API key, by name and password, or by a link with a one-time code. */

import { type FormEvent, useEffect, useState } from "react";
import { ApiProblem } from "@/api/client";
import { type Credential, logIn } from "@/api/login";
import { useT } from "@/i18n";
import { Button } from "@/ui/button";
import { ProblemCard } from "@/ui/card";
import { TextField } from "@/ui/field";
import icon from "../../icon.svg";
import { takeCode } from "./code";
import styles from "./login-page.module.css";

export function LoginPage({ onEntered }: { onEntered: () => void }) {
  const t = useT();
  return (
    <main className={styles.page}>
      <div className={styles.card}>
        <div className={styles.head}>
          <img src={icon} width={30} height={30} alt="" />
          <h1>{t.login.title}</h1>
        </div>
        <LoginForm onEntered={onEntered} />
      </div>
    </main>
  );
}

export function LoginForm({ onEntered }: { onEntered: () => void }) {
  const t = useT();
  const [way, setWay] = useState<"key" | "password">("key");
  const [key, setKey] = useState("");
  const [user, setUser] = useState("");
  const [password, setPassword] = useState("");
  const { working, error, enter } = useEntering(onEntered);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void enter(way === "key" ? { key: key.trim() } : { user: user.trim(), password });
  };
  return (
    <form className={styles.form} onSubmit={submit}>
      <fieldset className={styles.ways} style={{ border: 0, margin: 0 }}>
        {(["key", "password"] as const).map((one) => (
          <button key={one} type="button" className={styles.way} aria-pressed={way === one} onClick={() => setWay(one)}>
            {one === "key" ? t.login.byKey : t.login.byPassword}
          </button>
        ))}
      </fieldset>
      {way === "key" ? (
        <TextField
          key="key"
          label={t.login.key}
          help={t.login.keyHelp}
          type="password"
          value={key}
          onChange={setKey}
          required
          autoFocus
          autoComplete="current-password"
        />
      ) : (
        <>
          <TextField
            key="user"
            label={t.login.user}
            value={user}
            onChange={setUser}
            required
            autoFocus
            autoComplete="username"
          />
          <TextField
            label={t.login.password}
            type="password"
            value={password}
            onChange={setPassword}
            required
            autoComplete="current-password"
          />
        </>
      )}
      {error && <LoginProblem error={error} />}
      <Button
        kind="primary"
        type="submit"
        disabled={working || (way === "key" ? !key.trim() : !user.trim() || !password)}
      >
        {working ? t.login.working : t.login.submit}
      </Button>
    </form>
  );
}

function LoginProblem({ error }: { error: Error }) {
  const t = useT();
  const wait = error instanceof ApiProblem ? error.retryAfterS : null;
  return (
    <>
      <ProblemCard error={error} />
      {wait !== null && <p>{t.login.wait(wait)}</p>}
    </>
  );
}

/** Log in once by the code of the link, if the page was opened by one. */
function useEntering(onEntered: () => void) {
  const t = useT();
  const [working, setWorking] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const enter = async (credential: Credential) => {
    setWorking(true);
    setError(null);
    try {
      await logIn(credential);
      onEntered();
    } catch (found) {
      const refused = found instanceof ApiProblem && found.status === 401 && "code" in credential;
      setError(refused ? new Error(t.login.codeFailed) : (found as Error));
    } finally {
      setWorking(false);
    }
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: once, when the page opens
  useEffect(() => {
    const code = takeCode();
    if (code !== null) void enter({ code });
  }, []);
  return { working, error, enter };
}
