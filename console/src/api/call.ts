/** Address through which the manager relays a call to a service, with a token of its own. */

export const callUrl = (service: string, path: string) =>
  `/v1/services/${encodeURIComponent(service)}/call/${path.replace(/^\/+/, "")}`;
