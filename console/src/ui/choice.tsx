/** Choice of one of a few values: the browser's own, which keys and phones know. */

import { useId } from "react";
import styles from "./field.module.css";

type Props<V extends string> = {
  label: string;
  value: V;
  options: readonly { value: V; label: string }[];
  onChange: (value: V) => void;
  hideLabel?: boolean;
};

export function Choice<V extends string>({ label, value, options, onChange, hideLabel }: Props<V>) {
  const id = useId();
  return (
    <div className={styles.field}>
      {!hideLabel && (
        <label className={styles.label} htmlFor={id}>
          {label}
        </label>
      )}
      <select
        id={id}
        className={styles.select}
        value={value}
        onChange={(event) => onChange(event.target.value as V)}
        aria-label={hideLabel ? label : undefined}
      >
        {options.map((option) => (
          <option key={option.value} value={option.value}>
            {option.label}
          </option>
        ))}
      </select>
    </div>
  );
}
