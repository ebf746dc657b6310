/** The project whose things are shown: one or all, kept in every address. */

import { useInfiniteQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect } from "react";
import { projectsQuery } from "@/api/projects";
import { useLogin } from "@/app/login-gate";
import { useT } from "@/i18n";
import { Choice } from "@/ui/choice";

/** Return the chosen project, or undefined for all. */
export function useProject(): string | undefined {
  return useSearch({ strict: false }).project;
}

/** Names of the projects that may be chosen: one's own; operators may choose any, the first hundreds of which are listed. */
export function useProjectNames(): string[] {
  const { user, projects } = useLogin();
  const found = useInfiniteQuery({ ...projectsQuery, enabled: user.operator });
  const all = found.data?.pages.flatMap((page) => page.items.map((project) => project.name)) ?? [];
  return [...new Set([...Object.keys(projects), ...all])].sort();
}

export function ProjectSwitch() {
  const t = useT();
  const chosen = useProject() ?? "";
  const names = useProjectNames();
  const navigate = useNavigate();
  if (names.length < 2 && !chosen) return null;
  const options = [...new Set([...names, ...(chosen ? [chosen] : [])])];
  return (
    <Choice
      label={t.projects.one}
      hideLabel
      value={chosen}
      onChange={(project) => void navigate({ to: ".", search: (now) => ({ ...now, project: project || undefined }) })}
      options={[{ value: "", label: t.projects.all }, ...options.map((name) => ({ value: name, label: name }))]}
    />
  );
}

/** Project of something new, where there is more than one to choose from. */
export function ProjectField({ value, onChange }: { value: string; onChange: (project: string) => void }) {
  const t = useT();
  const { projects, user } = useLogin();
  const chosen = useProject();
  const names = useProjectNames().filter((name) => user.operator || projects[name] !== "viewer");
  const first = chosen && names.includes(chosen) ? chosen : names[0];
  // biome-ignore lint/correctness/useExhaustiveDependencies: what was chosen stays
  useEffect(() => {
    if (!value && first) onChange(first);
  }, [first]);
  if (names.length < 2) return null;
  return (
    <Choice
      label={t.projects.one}
      value={value}
      onChange={onChange}
      options={names.map((name) => ({ value: name, label: name }))}
    />
  );
}
