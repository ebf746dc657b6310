/** What the person who is logged in may do; what he may not is not offered. The API decides all the same. */

import { useLogin } from "@/app/login-gate";

/** Whether he may change things of a project. */
export function useMayChange(project: string): boolean {
  const { user, projects, read_only: readOnly } = useLogin();
  if (readOnly) return false;
  const role = projects[project];
  return user.operator || role === "owner" || role === "member";
}

/** Whether he may change the project itself: its members, secrets, webhooks. */
export function useMayOwn(project: string): boolean {
  const { user, projects, read_only: readOnly } = useLogin();
  return !readOnly && (user.operator || projects[project] === "owner");
}

/** Whether he may change the installation: machines, users, quotas. */
export function useMayOperate(): boolean {
  const { user, read_only: readOnly } = useLogin();
  return !readOnly && user.operator;
}

/** Whether he may change things of some project. */
export function useMayChangeAny(): boolean {
  const { user, projects, read_only: readOnly } = useLogin();
  return !readOnly && (user.operator || Object.values(projects).some((role) => role !== "viewer"));
}
