/** Deletion of the service, with what goes with it. */

import { useState } from "react";
import type { ServiceDetail } from "@/api/services";
import { useT } from "@/i18n";
import { DeleteService } from "@/pages/service/delete-service";
import { Button } from "@/ui/button";
import { Card } from "@/ui/card";
import styles from "./settings.module.css";

export function DeleteCard({ service }: { service: ServiceDetail }) {
  const t = useT();
  const [asked, setAsked] = useState(false);
  return (
    <Card title={t.service.delete}>
      <div className={styles.fields}>
        <p className={styles.help}>{t.service.deleteText}</p>
        <div className={styles.actions}>
          <Button kind="danger" onPress={() => setAsked(true)}>
            {t.settings.delete(service.name)}
          </Button>
        </div>
      </div>
      {asked && <DeleteService name={service.name} onClose={() => setAsked(false)} />}
    </Card>
  );
}
