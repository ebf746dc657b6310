/** Dialog that rolls back to a revision: what changes by it, and a message. */

import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { type ServiceDetail, serviceActions } from "@/api/services";
import { useT } from "@/i18n";
import { Differences } from "@/pages/service/compare";
import { Confirm } from "@/ui/dialog";
import { TextField } from "@/ui/field";
import styles from "./service-page.module.css";

export function RollBack({
  service,
  revision,
  onClose,
}: {
  service: ServiceDetail;
  revision: number;
  onClose: () => void;
}) {
  const t = useT();
  const queries = useQueryClient();
  const [message, setMessage] = useState("");
  const { name } = service;
  return (
    <Confirm
      title={t.history.rollBackTitle(name, revision)}
      text={t.history.rollBackText(revision)}
      verb={t.history.rollBackVerb(revision)}
      onConfirm={() =>
        serviceActions
          .rollBack(name, { revision, message })
          .then(() => queries.invalidateQueries({ queryKey: ["services"] }))
      }
      onClose={onClose}
    >
      <div className={styles.scroll}>
        <Differences name={name} from={service.revision} to={revision} />
      </div>
      <TextField
        label={t.history.message}
        help={t.settings.messageHelp}
        value={message}
        onChange={setMessage}
        maxLength={4000}
      />
    </Confirm>
  );
}
