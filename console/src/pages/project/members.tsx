/** Members of a project and their roles; owners add, change and remove them. */

import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useState } from "react";
import { type Member, membersQuery, projectActions, type Role } from "@/api/projects";
import { useMayOwn } from "@/app/rights";
import { type Messages, useT } from "@/i18n";
import { Button } from "@/ui/button";
import { Empty, ProblemCard } from "@/ui/card";
import { Choice } from "@/ui/choice";
import { Confirm } from "@/ui/dialog";
import { TextField } from "@/ui/field";
import { FormDialog } from "@/ui/form-dialog";
import { InCell } from "@/ui/layout";
import { PagedCard } from "@/ui/paged-card";

const ROLES: readonly Role[] = ["viewer", "member", "owner"];

export function MembersTab() {
  const t = useT();
  const { name } = useParams({ from: "/projects/$name" });
  const queries = useQueryClient();
  const mayOwn = useMayOwn(name);
  const found = useInfiniteQuery(membersQuery(name));
  const [adding, setAdding] = useState(false);
  const [removing, setRemoving] = useState<Member | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const read = () => queries.invalidateQueries({ queryKey: ["projects", "members", name] });
  const setRole = (member: Member, role: Role) => {
    setError(null);
    void projectActions.setMember(name, member.user, role).then(read, setError);
  };
  return (
    <>
      {error && <ProblemCard error={error} />}
      <PagedCard
        label={t.projects.tabs.members}
        title={t.projects.tabs.members}
        actions={
          mayOwn && (
            <Button small kind="primary" onPress={() => setAdding(true)}>
              {t.projects.addMember}
            </Button>
          )
        }
        found={found}
        rowKey={(member) => member.user}
        empty={<Empty title={t.projects.noMembers} />}
        columns={[
          { id: "user", title: t.projects.user, cell: (member) => <strong>{member.user}</strong> },
          {
            id: "role",
            title: t.projects.role,
            cell: (member) =>
              mayOwn ? (
                <InCell>
                  <Choice
                    label={`${t.projects.role}: ${member.user}`}
                    hideLabel
                    value={member.role}
                    onChange={(role) => setRole(member, role)}
                    options={rolesOf(t)}
                  />
                </InCell>
              ) : (
                t.projects.roles[member.role]
              ),
          },
          {
            id: "remove",
            title: "",
            kind: "number",
            cell: (member) =>
              mayOwn && (
                <Button small onPress={() => setRemoving(member)}>
                  {t.projects.remove}
                </Button>
              ),
          },
        ]}
      />
      {adding && <AddMember project={name} onClose={() => setAdding(false)} onAdded={read} />}
      {removing && (
        <Confirm
          title={t.projects.removeTitle(removing.user)}
          text={t.projects.removeText}
          verb={t.projects.remove}
          onConfirm={() => projectActions.removeMember(name, removing.user).then(read)}
          onClose={() => setRemoving(null)}
        />
      )}
    </>
  );
}

const rolesOf = (t: Messages) => ROLES.map((value) => ({ value, label: t.projects.roles[value] }));

type AddProps = { project: string; onClose: () => void; onAdded: () => Promise<unknown> };

function AddMember({ project, onClose, onAdded }: AddProps) {
  const t = useT();
  const [user, setUser] = useState("");
  const [role, setRole] = useState<Role>("member");
  const add = async () => {
    await projectActions.setMember(project, user.trim(), role);
    await onAdded();
    onClose();
  };
  return (
    <FormDialog
      title={t.projects.addMember}
      verb={t.projects.add}
      onSubmit={add}
      onClose={onClose}
      ready={user.trim() !== ""}
    >
      <TextField label={t.projects.user} value={user} onChange={setUser} autoFocus required maxLength={64} />
      <Choice label={t.projects.role} value={role} onChange={setRole} options={rolesOf(t)} />
      <p>{t.projects.rolesHelp[role]}</p>
    </FormDialog>
  );
}
