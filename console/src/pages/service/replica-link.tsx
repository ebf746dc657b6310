/** Name of a replica; opens it beside the page. */

import { Link, useParams } from "@tanstack/react-router";

const ID_SHOWN = 8;

export function ReplicaLink({ id }: { id: string }) {
  const { service } = useParams({ from: "/services/$service" });
  return (
    <Link to="/services/$service" params={{ service }} search={{ replica: id }} resetScroll={false} title={id}>
      <code>{id.slice(-ID_SHOWN)}</code>
    </Link>
  );
}
