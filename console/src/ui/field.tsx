/** Fields of forms: text, number, choice, check, search. */

import { type ReactNode, useId } from "react";
import {
  SearchField as AriaSearch,
  TextField as AriaText,
  Checkbox,
  FieldError,
  Input,
  Label,
  Text,
  TextArea,
} from "react-aria-components";
import { CheckIcon, SearchIcon } from "@/ui/icons";
import styles from "./field.module.css";

type TextProps = {
  label: string;
  value: string;
  onChange: (value: string) => void;
  help?: ReactNode;
  error?: string | undefined;
  type?: "text" | "password" | "number";
  name?: string;
  required?: boolean;
  autoFocus?: boolean;
  autoComplete?: string;
  mono?: boolean;
  lines?: number;
  maxLength?: number;
  /** Values that are offered while typing. */
  offers?: readonly string[];
};

export function TextField(props: TextProps) {
  const {
    label,
    value,
    onChange,
    help,
    error,
    type = "text",
    required,
    autoFocus,
    lines,
    maxLength = 4096,
    offers,
  } = props;
  const list = useId();
  const style = props.mono ? { fontFamily: "var(--mono)", fontSize: 13 } : undefined;
  return (
    <AriaText
      className={styles.field}
      value={value}
      onChange={onChange}
      isInvalid={error !== undefined}
      validationBehavior="aria"
      isRequired={required ?? false}
      autoFocus={autoFocus ?? false}
      type={type}
      maxLength={maxLength}
      {...(props.name ? { name: props.name } : {})}
      {...(props.autoComplete ? { autoComplete: props.autoComplete } : {})}
    >
      <Label className={styles.label}>{label}</Label>
      {lines ? (
        <TextArea className={styles.input} rows={lines} style={style} />
      ) : (
        <Input className={styles.input} style={style} {...(offers?.length ? { list } : {})} />
      )}
      {offers && offers.length > 0 && (
        <datalist id={list}>
          {offers.map((value) => (
            <option key={value} value={value} />
          ))}
        </datalist>
      )}
      {help && (
        <Text slot="description" className={styles.help}>
          {help}
        </Text>
      )}
      {error !== undefined && <FieldError className={styles.error}>{error}</FieldError>}
    </AriaText>
  );
}

export function SearchField({
  label,
  value,
  onChange,
  placeholder,
}: {
  label: string;
  value: string;
  onChange: (value: string) => void;
  placeholder?: string;
}) {
  return (
    <AriaSearch className={styles.search} aria-label={label} value={value} onChange={onChange}>
      <SearchIcon />
      <Input className={styles.input} placeholder={placeholder ?? label} maxLength={200} />
    </AriaSearch>
  );
}

export function Check({
  label,
  checked,
  onChange,
  disabled,
}: {
  label: string;
  checked: boolean;
  onChange: (checked: boolean) => void;
  disabled?: boolean;
}) {
  return (
    <Checkbox className={styles.check} isSelected={checked} onChange={onChange} isDisabled={disabled ?? false}>
      {({ isSelected }) => (
        <>
          <span className={styles.box}>{isSelected && <CheckIcon />}</span>
          {label}
        </>
      )}
    </Checkbox>
  );
}
