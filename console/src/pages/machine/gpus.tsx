/** GPUs and slots of a machine as cells: how much is taken, and how busy it is. */

import type { MachineDetail } from "@/api/machines";
import { useT } from "@/i18n";
import { memory, slot } from "@/i18n/format";
import { Card } from "@/ui/card";
import { Bar, Quiet } from "@/ui/layout";
import styles from "./machine.module.css";

export function Gpus({ machine }: { machine: MachineDetail }) {
  const t = useT();
  return (
    <Card title={t.machines.used}>
      <div className={styles.cells}>
        {Object.entries(machine.slots).map(([name, whole]) => {
          const taken = machine.allocated[name] ?? "0";
          return (
            <div key={name} className={styles.cell}>
              <strong>{name}</strong>
              <Bar used={Number(taken)} limit={Number(whole)} />
              <Quiet>
                {slot(name, taken)} / {slot(name, whole)}
              </Quiet>
            </div>
          );
        })}
      </div>
      {machine.gpus.length > 0 && (
        <ul className={styles.cells} aria-label={t.machines.gpus}>
          {machine.gpus.map((gpu) => (
            <li key={gpu.gpu_id} className={styles.cell} title={gpu.gpu_id}>
              <strong>
                GPU {gpu.index}
                {gpu.simulated && ` (${t.machines.simulated})`}
              </strong>
              <Quiet>{gpu.model}</Quiet>
              <Bar used={gpu.memory_used_bytes ?? 0} limit={gpu.memory_bytes} />
              <Quiet>
                {memory(gpu.memory_used_bytes ?? 0)} / {memory(gpu.memory_bytes)} ·{" "}
                {t.machines.busy((gpu.utilization_percent ?? 0).toFixed(0))}
              </Quiet>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}
