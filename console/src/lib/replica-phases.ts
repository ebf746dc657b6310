/** Phases of a replica's life with their seconds: waiting for a machine, preparing, starting, serving. */

export type Phase = { name: "waiting" | "preparing" | "starting" | "serving"; seconds: number; now: boolean };

type Times = {
  created_at: string;
  placed_at?: string | null;
  started_at?: string | null;
  healthy_at?: string | null;
  ended_at?: string | null;
};

/** Returns those that began; of a replica that has not ended the last one lasts until `now` (ms). */
export function phasesOf(replica: Times, now: number): Phase[] {
  const begins: [Phase["name"], string | null | undefined][] = [
    ["waiting", replica.created_at],
    ["preparing", replica.placed_at],
    ["starting", replica.started_at],
    ["serving", replica.healthy_at],
  ];
  const begun = begins.flatMap(([name, at]) => (at ? [{ name, at: Date.parse(at) }] : []));
  const end = replica.ended_at ? Date.parse(replica.ended_at) : now;
  return begun.map(({ name, at }, index) => ({
    name,
    seconds: Math.max(0, ((begun[index + 1]?.at ?? end) - at) / 1000),
    now: index === begun.length - 1 && !replica.ended_at,
  }));
}
