/** What a request would be refused for, each with its place, what was found and what is allowed. */

import type { Resolution } from "@/api/resolutions";
import { useT } from "@/i18n";
import { Card } from "@/ui/card";
import styles from "./resolution.module.css";

type ProblemRow = Resolution["problems"][number];

export function Problems({ problems }: { problems: readonly ProblemRow[] }) {
  const t = useT();
  if (problems.length === 0) return null;
  return (
    <Card title={t.newService.problems(problems.length)}>
      {problems.map((problem) => (
        <Problem key={`${problem.field} ${problem.detail}`} problem={problem} />
      ))}
    </Card>
  );
}

/** What was found and what is allowed is in the detail. */
function Problem({ problem }: { problem: ProblemRow }) {
  const place = [problem.file, problem.line, problem.column].filter((part) => part !== null).join(":") || problem.field;
  return (
    <p className={styles.problem}>
      {place && !problem.detail.startsWith(place) && <code>{place} </code>}
      {problem.detail}
    </p>
  );
}
