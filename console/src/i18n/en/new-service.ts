/** English texts of the page: new service. */

import { one } from "@/i18n/en/numbers";

export const newService = {
  create: "Create service",
  model: "Model",
  folder: "Folder",
  noFolder: "None",
  modelName: "Model in the folder",
  modelHelp: "Empty: the first that the definition names",
  byFiles: "As the files say",
  nameHelp: "Part of its address: small letters, digits and hyphens",
  resources: "Resources of each replica",
  gpus: "GPUs",
  cpu: "CPUs",
  memory: "Memory",
  resourcesHelp: "What is empty comes from the folder's files. Memory as 8g, GPUs also as parts: 0.5",
  more: "Environment and access",
  variables: "Variables",
  variablesHelp: "NAME=value, one a line. Secrets belong into the project's secrets.",
  description: "Description",
  public: "Everybody may call it, without a token",
  effect: "What it comes to",
  effectHelp:
    "Give it a name: the values that count, where they come from, and what is wrong are shown here before anything is done.",
  effective: "Effective values",
  value: "Value",
  origins: {
    baseline: "default",
    project: "project",
    "service-definition": "service definition",
    "model-definition": "model definition",
    size: "size",
    request: "you",
  },
  problems: (count: number) => one(count, "problem", "problems"),
  quota: (project: string) => `Quota of ${project}`,
  needed: "Needed",
  limit: "Limit",
};
