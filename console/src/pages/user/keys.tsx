/** API keys of a user: made, shown once, deleted. */

import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { type Key, keysQuery, type NewKey, userActions } from "@/api/users";
import { useLogin } from "@/app/login-gate";
import { type Messages, useT } from "@/i18n";
import { NewKeyDialog } from "@/pages/user/new-key";
import { Ago } from "@/ui/ago";
import { Button } from "@/ui/button";
import { Empty } from "@/ui/card";
import { Confirm } from "@/ui/dialog";
import { Example, Twofold } from "@/ui/layout";
import { PagedCard } from "@/ui/paged-card";
import { ShownOnce } from "@/ui/shown-once";
import type { Column } from "@/ui/table";

export function Keys({ user }: { user: string }) {
  const t = useT();
  const queries = useQueryClient();
  const { read_only: readOnly, key_id: current } = useLogin();
  const found = useInfiniteQuery(keysQuery(user));
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState<NewKey | null>(null);
  const [deleting, setDeleting] = useState<Key | null>(null);
  const read = () => queries.invalidateQueries({ queryKey: ["users", "keys", user] });
  const remove = (key: Key) => (
    <Button small onPress={() => setDeleting(key)}>
      {t.service.delete}
    </Button>
  );
  return (
    <>
      <PagedCard
        label={t.users.keys}
        title={t.users.keys}
        actions={
          !readOnly && (
            <Button small kind="primary" onPress={() => setMaking(true)}>
              {t.users.newKey}
            </Button>
          )
        }
        found={found}
        rowKey={(key) => key.id}
        empty={<Empty title={t.users.noKeys}>{t.users.keysHelp}</Empty>}
        columns={[
          ...columnsOf(t, current),
          { id: "delete", title: "", kind: "number", cell: (key) => !readOnly && remove(key) },
        ]}
      />
      {making && (
        <NewKeyDialog
          user={user}
          onClose={() => setMaking(false)}
          onMade={(key) => {
            setMaking(false);
            setMade(key);
            void read();
          }}
        />
      )}
      {made && (
        <ShownOnce title={made.name || t.users.newKey} secret={made.key} onClose={() => setMade(null)}>
          <p>{t.users.useKey}</p>
          <Example text={`headrace login --url ${location.origin}`} />
        </ShownOnce>
      )}
      {deleting && (
        <Confirm
          title={t.service.deleteTitle(deleting.name || deleting.id)}
          text={deleting.id === current ? t.users.deleteOwnKeyText : t.users.deleteKeyText}
          verb={t.service.delete}
          onConfirm={() => userActions.deleteKey(user, deleting.id).then(read)}
          onClose={() => setDeleting(null)}
        />
      )}
    </>
  );
}

function columnsOf(t: Messages, current: string | null): readonly Column<Key>[] {
  return [
    {
      id: "name",
      title: t.services.name,
      cell: (key) => <Twofold first={key.name || t.common.none} second={key.id === current ? t.users.thisLogin : ""} />,
    },
    { id: "may", title: t.users.rights, kind: "wrap", cell: (key) => limitsOf(key, t) },
    {
      id: "used",
      title: t.users.lastUsed,
      cell: (key) => (key.last_used_at ? <Ago at={key.last_used_at} /> : t.users.never),
    },
    {
      id: "expires",
      title: t.access.expires,
      cell: (key) => (key.expires_at ? <Ago at={key.expires_at} /> : t.users.never),
    },
    { id: "created", title: t.folders.created, kind: "number", cell: (key) => <Ago at={key.created_at} /> },
  ];
}

function limitsOf(key: Key, t: Messages): string {
  const limits = [...(key.read_only ? [t.users.readOnly] : []), ...(key.projects ? [key.projects.join(", ")] : [])];
  return limits.join("; ") || t.users.unlimited;
}
