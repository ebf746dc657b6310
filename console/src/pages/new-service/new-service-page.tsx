/** A new service: the form, and beside it what it comes to, as the server says it before anything is done. */

import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { type FormEvent, useDeferredValue, useEffect, useState } from "react";
import { ApiProblem } from "@/api/client";
import { foldersQuery } from "@/api/folders";
import { availableQuery, createService } from "@/api/resolutions";
import { ProjectField } from "@/app/project";
import { Page } from "@/app/shell";
import { useT } from "@/i18n";
import { draft, keepDraft } from "@/lib/drafts";
import { commandOf, EMPTY, type NewServiceForm, RUNTIMES, requestOf } from "@/pages/new-service/form";
import { ResolutionPanel } from "@/pages/new-service/resolution-panel";
import { Button } from "@/ui/button";
import { Card, ProblemCard } from "@/ui/card";
import { Choice } from "@/ui/choice";
import { CopyButton } from "@/ui/copy";
import { Check, TextField } from "@/ui/field";
import { PageHead } from "@/ui/page-head";
import styles from "./new-service-page.module.css";

const DRAFT = "new-service";
const NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

export function NewServicePage() {
  const t = useT();
  const { folder = "" } = useSearch({ from: "/services/new" });
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [form, setForm] = useState<NewServiceForm>(() => ({
    ...EMPTY,
    name: folder,
    ...draft<NewServiceForm>(DRAFT),
    ...(folder ? { folder } : {}),
  }));
  const [error, setError] = useState<Error | null>(null);
  const [working, setWorking] = useState(false);
  // Values of variables may be secret: they are not kept.
  useEffect(() => keepDraft(DRAFT, { ...form, environ: "" }), [form]);
  const settled = useDeferredValue(form);
  const create = async (event: FormEvent) => {
    event.preventDefault();
    setWorking(true);
    setError(null);
    try {
      const made = await createService(requestOf(form));
      keepDraft(DRAFT, null);
      void queries.invalidateQueries({ queryKey: ["services"] });
      await navigate({ to: "/services/$service", params: { service: made.name } });
    } catch (found) {
      setError(found as Error);
      setWorking(false);
    }
  };
  return (
    <Page>
      <PageHead title={t.services.new} />
      <div className={styles.columns}>
        <form className={styles.form} onSubmit={(event) => void create(event)}>
          <Fields form={form} error={error} onChange={(change) => setForm({ ...form, ...change })} />
          {error && <ProblemCard error={error} />}
          <div className={styles.actions}>
            <Button kind="primary" type="submit" disabled={working || !form.name.trim()}>
              {t.newService.create}
            </Button>
            <CopyButton text={commandOf(form)} label={t.common.command} />
          </div>
        </form>
        <div className={styles.aside}>
          <ResolutionPanel request={requestOf(settled)} />
        </div>
      </div>
    </Page>
  );
}

type FieldsProps = { form: NewServiceForm; error: Error | null; onChange: (change: Partial<NewServiceForm>) => void };

function Fields({ form, error, onChange }: FieldsProps) {
  const t = useT();
  const folders =
    useInfiniteQuery(foldersQuery(form.project || undefined)).data?.pages.flatMap((page) => page.items) ?? [];
  const wrong = (field: string) =>
    error instanceof ApiProblem ? error.errors.find((one) => one.field === field)?.allowed : undefined;
  const words = t.newService;
  return (
    <>
      <Card title={words.model}>
        <div className={styles.fields}>
          <NameField form={form} onChange={onChange} error={wrong("name")} />
          <ProjectField value={form.project} onChange={(project) => onChange({ project })} />
          <Choice
            label={words.folder}
            value={form.folder}
            onChange={(folder) => onChange({ folder })}
            options={[
              { value: "", label: words.noFolder },
              ...folders.map(({ name }) => ({ value: name, label: name })),
            ]}
          />
          <div className={styles.pair}>
            <TextField
              label={words.modelName}
              value={form.model}
              onChange={(model) => onChange({ model })}
              help={words.modelHelp}
              error={wrong("model")}
            />
            <Choice
              label={t.services.runtime}
              value={form.runtime}
              onChange={(runtime) => onChange({ runtime })}
              options={[{ value: "", label: words.byFiles }, ...RUNTIMES.map((value) => ({ value, label: value }))]}
            />
          </div>
        </div>
      </Card>
      <Card title={words.resources}>
        <div className={styles.fields}>
          <div className={styles.pair}>
            <TextField
              label={t.services.replicas}
              value={form.replicas}
              onChange={(replicas) => onChange({ replicas })}
              error={wrong("replicas")}
            />
            <TextField
              label={words.gpus}
              value={form.gpus}
              onChange={(gpus) => onChange({ gpus })}
              error={wrong("slots.cuda.device")}
            />
            <TextField
              label={words.cpu}
              value={form.cpu}
              onChange={(cpu) => onChange({ cpu })}
              error={wrong("slots.cpu")}
            />
            <TextField
              label={words.memory}
              value={form.mem}
              onChange={(mem) => onChange({ mem })}
              error={wrong("slots.mem")}
            />
          </div>
          <p className={styles.quiet}>{words.resourcesHelp}</p>
        </div>
      </Card>
      <Card title={words.more}>
        <div className={styles.fields}>
          <TextField
            label={words.variables}
            help={words.variablesHelp}
            value={form.environ}
            onChange={(environ) => onChange({ environ })}
            lines={3}
            mono
            error={wrong("environ")}
          />
          <TextField
            label={words.description}
            value={form.description}
            onChange={(description) => onChange({ description })}
            error={wrong("description")}
          />
          <Check
            label={words.public}
            checked={form.open_to_public}
            onChange={(open_to_public) => onChange({ open_to_public })}
          />
        </div>
      </Card>
    </>
  );
}

function NameField({ form, onChange, error }: Pick<FieldsProps, "form" | "onChange"> & { error: string | undefined }) {
  const t = useT();
  const name = form.name.trim();
  const { data } = useQuery({ ...availableQuery(name), enabled: NAME.test(name) });
  const taken = data && data.name === name && !data.available ? data.reason.text : undefined;
  return (
    <TextField
      label={t.services.name}
      value={form.name}
      onChange={(value) => onChange({ name: value })}
      required
      autoFocus
      help={t.newService.nameHelp}
      error={error ?? taken}
      maxLength={63}
    />
  );
}
