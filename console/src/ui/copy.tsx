/** Text with a button that copies it. */

import { useEffect, useState } from "react";
import { useT } from "@/i18n";
import { IconButton } from "@/ui/button";
import { CheckIcon, CopyIcon } from "@/ui/icons";
import styles from "./copy.module.css";

export function CopyButton({ text, label }: { text: string; label?: string }) {
  const t = useT();
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 2000);
    return () => clearTimeout(timer);
  }, [copied]);
  const name = label ? `${t.common.copy}: ${label}` : t.common.copy;
  return (
    <IconButton
      label={copied ? t.common.copied : name}
      onPress={() => void navigator.clipboard.writeText(text).then(() => setCopied(true))}
    >
      {copied ? <CheckIcon /> : <CopyIcon />}
    </IconButton>
  );
}

/** A value in one line, cut at its end where there is no room, copied whole. */
export function Copyable({ text, label }: { text: string; label?: string }) {
  return (
    <span className={styles.copyable}>
      <code className={styles.text} title={text}>
        {text}
      </code>
      <CopyButton text={text} {...(label ? { label } : {})} />
    </span>
  );
}
