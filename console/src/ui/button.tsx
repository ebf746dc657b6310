/** Buttons: primary, danger, quiet, with an icon alone. */

import type { ReactNode } from "react";
import { Button as AriaButton } from "react-aria-components";
import styles from "./button.module.css";

type Kind = "plain" | "primary" | "danger" | "quiet";
type Props = {
  children: ReactNode;
  onPress?: () => void;
  kind?: Kind;
  small?: boolean;
  type?: "button" | "submit";
  disabled?: boolean;
  autoFocus?: boolean;
  form?: string;
};

export function Button({
  children,
  onPress,
  kind = "plain",
  small,
  type = "button",
  disabled,
  autoFocus,
  form,
}: Props) {
  return (
    <AriaButton
      className={buttonClass(kind, small)}
      type={type}
      isDisabled={disabled ?? false}
      autoFocus={autoFocus ?? false}
      {...(onPress ? { onPress } : {})}
      {...(form ? { form } : {})}
    >
      {children}
    </AriaButton>
  );
}

export function IconButton({
  label,
  children,
  onPress,
  disabled,
}: {
  label: string;
  children: ReactNode;
  onPress?: () => void;
  disabled?: boolean;
}) {
  return (
    <AriaButton
      className={`${buttonClass("quiet")} ${styles.icon}`}
      aria-label={label}
      isDisabled={disabled ?? false}
      {...(onPress ? { onPress } : {})}
    >
      {children}
    </AriaButton>
  );
}

/** Selector of the button or link beside a page's title that makes something new. */
export const newThing = `h1 ~ .${styles.primary}`;

/** Class of a link that looks like a button. */
export function buttonClass(kind: Kind = "plain", small = false): string {
  return [styles.button, kind === "plain" ? "" : styles[kind], small ? styles.small : ""].filter(Boolean).join(" ");
}
