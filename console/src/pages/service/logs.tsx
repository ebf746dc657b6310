/** Logs of a service: of all its replicas or one, followed, filtered, downloaded. */

import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { logsUrl } from "@/api/logs";
import { serviceQuery } from "@/api/services";
import { useT } from "@/i18n";
import { matching } from "@/lib/log-lines";
import { useLog } from "@/pages/service/follow-log";
import { LogView } from "@/pages/service/log-view";
import { buttonClass } from "@/ui/button";
import { Card, Empty, ProblemCard } from "@/ui/card";
import { Choice } from "@/ui/choice";
import { Check, SearchField } from "@/ui/field";
import styles from "./logs.module.css";

const ALL = "";
const ID_SHOWN = 8;

export function LogsTab() {
  const t = useT();
  const { service: name } = useParams({ from: "/services/$service" });
  const { replica } = useSearch({ from: "/services/$service/logs" });
  const navigate = useNavigate();
  const { data: service } = useQuery(serviceQuery(name));
  const [following, setFollowing] = useState(true);
  const [wrap, setWrap] = useState(true);
  const [filter, setFilter] = useState("");
  const log = useLog(name, replica, following);
  const shown = useMemo(() => matching(log.lines, filter), [log.lines, filter]);
  const ids = [
    ...(service?.replica_list ?? []).map((one) => one.id),
    ...(service?.ends ?? []).map((end) => end.session_id),
    ...(replica ? [replica] : []),
  ];
  const choose = (chosen: string) =>
    void navigate({
      to: "/services/$service/logs",
      params: { service: name },
      search: chosen === ALL ? {} : { replica: chosen },
      replace: true,
    });
  return (
    <Card flush>
      <div className={styles.bar}>
        <Choice
          label={t.logs.replica}
          hideLabel
          value={replica ?? ALL}
          onChange={choose}
          options={[
            { value: ALL, label: t.logs.allReplicas },
            ...[...new Set(ids)].map((value) => ({ value, label: value.slice(-ID_SHOWN) })),
          ]}
        />
        <SearchField label={t.logs.filter} value={filter} onChange={setFilter} />
        <Check label={t.logs.follow} checked={following} onChange={setFollowing} />
        <Check label={t.logs.wrap} checked={wrap} onChange={setWrap} />
        <span className={styles.push} role="status">
          {following ? t.logs.lines(shown.length) : `${t.logs.paused}, + ${log.waiting}`}
        </span>
        <a className={buttonClass("plain", true)} href={logsUrl(name, { replica })} download={`${name}.log`}>
          {t.logs.download}
        </a>
      </div>
      {log.error && <ProblemCard error={log.error} />}
      {shown.length === 0 ? (
        <Empty title={t.logs.empty}>{service?.reason.text}</Empty>
      ) : (
        <LogView lines={shown} wrap={wrap} following={following} onFollow={setFollowing} dropped={log.dropped} />
      )}
    </Card>
  );
}
