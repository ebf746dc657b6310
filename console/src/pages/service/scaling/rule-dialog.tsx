/** Form of a new rule, or of one that is changed. */

import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { ApiProblem } from "@/api/client";
import { type Rule, ruleActions } from "@/api/scaling";
import type { ServiceDetail } from "@/api/services";
import { useT } from "@/i18n";
import { formOf, METRICS, NEW_RULE, type RuleForm, SIGNS, specOf } from "@/pages/service/scaling/rule-form";
import { Button } from "@/ui/button";
import { ProblemCard } from "@/ui/card";
import { Choice } from "@/ui/choice";
import { Dialog } from "@/ui/dialog";
import { TextField } from "@/ui/field";
import styles from "./scaling.module.css";

type Props = { service: ServiceDetail; rule: Rule | null; onClose: () => void };

export function RuleDialog({ service, rule, onClose }: Props) {
  const t = useT();
  const queries = useQueryClient();
  const [form, setForm] = useState<RuleForm>(rule ? formOf(rule.spec) : NEW_RULE);
  const [error, setError] = useState<Error | null>(null);
  const [working, setWorking] = useState(false);
  const save = async () => {
    setWorking(true);
    setError(null);
    const { enabled: _enabled, ...spec } = specOf(form);
    try {
      if (rule) await ruleActions.change(service.name, rule, spec);
      else await ruleActions.create(service.name, { ...spec, enabled: true });
      await queries.invalidateQueries({ queryKey: ["scaling"] });
      onClose();
    } catch (found) {
      setError(found as Error);
      setWorking(false);
    }
  };
  return (
    <Dialog
      title={rule ? t.scaling.editTitle : t.scaling.new}
      onClose={onClose}
      actions={
        <>
          <Button onPress={onClose}>{t.common.cancel}</Button>
          <Button kind="primary" disabled={working || !form.metric.trim()} onPress={() => void save()}>
            {rule ? t.settings.save : t.scaling.create}
          </Button>
        </>
      }
    >
      <Fields form={form} error={error} onChange={(change) => setForm({ ...form, ...change })} />
      {error && <ProblemCard error={error} />}
    </Dialog>
  );
}

type FieldsProps = { form: RuleForm; error: Error | null; onChange: (change: Partial<RuleForm>) => void };

function Fields({ form, error, onChange }: FieldsProps) {
  const t = useT();
  const words = t.scaling.fields;
  const wrong = (field: string) =>
    error instanceof ApiProblem ? error.errors.find((one) => one.field === field)?.allowed : undefined;
  const text = (name: keyof RuleForm, label: string, field: string, help?: string) => (
    <TextField
      label={label}
      value={form[name]}
      onChange={(value) => onChange({ [name]: value })}
      error={wrong(field)}
      help={help}
      maxLength={200}
    />
  );
  return (
    <div className={styles.form}>
      <Choice
        label={words.source}
        value={form.source as keyof typeof METRICS}
        onChange={(source) => onChange({ source })}
        options={(["inference-framework", "kernel"] as const).map((value) => ({
          value,
          label: words.sources[value],
        }))}
      />
      <TextField
        label={words.metric}
        help={words.metricHelp}
        value={form.metric}
        onChange={(metric) => onChange({ metric })}
        error={wrong("metric")}
        offers={METRICS[form.source as keyof typeof METRICS]}
        maxLength={200}
        mono
      />
      <Choice
        label={words.comparator}
        value={form.comparator}
        onChange={(comparator) => onChange({ comparator })}
        options={Object.entries(SIGNS).map(([value, label]) => ({ value, label }))}
      />
      {text("threshold", words.threshold, "threshold")}
      {text("step", words.step, "step", words.stepHelp)}
      {text("cooldown", words.cooldown, "cooldown_s", t.settings.empty("300"))}
      {text("min", words.min, "min_replicas", t.settings.empty("1"))}
      {text("max", words.max, "max_replicas")}
    </div>
  );
}
