//! Where the service runs, and what begins and ends with it.

import { batch } from "@preact/signals";

import { home, serverUrl } from "./diagnosis";
import { draft, sample, showTenants, startChecking, startService, text } from "./editing";
import { load, RemoteService } from "./service";
import {
  askQuotas,
  homeServer,
  log,
  pageService,
  phase,
  place,
  quotas,
  record,
  replaceView,
  round,
  service,
  tenants,
  toast,
  unreachable,
  view,
  waits,
} from "./state";
import { read, storage, write } from "./store";

/** Loads the program, starts the service, and goes back to the server of the last visit. */
export async function start(): Promise<void> {
  try {
    await load();
    const started = startService();
    batch(() => {
      pageService.value = started;
      service.value = started;
    });
    startChecking();
    await showTenants();
    phase.value = "ready";
  } catch (error) {
    const file = location.protocol === "file:" && document.querySelector("link#wasm");
    const problem = file
      ? "Browsers don’t let a page that was opened from disk load its parts. Open tenantry.html instead, which is one file, or serve this folder over HTTP."
      : `The WebAssembly program could not be started (${String(error)}). It needs a browser from 2024 or later, with WebAssembly allowed.`;
    phase.value = { problem };
    return;
  }
  void findHome();
  const kept = read("place");
  const url = kept === undefined ? undefined : serverUrl(kept);
  if (url !== undefined) {
    const problem = await useServer(url);
    if (problem !== undefined) unreachable.value = { url, problem };
  }
}

/** Finds out whether this page came from a Tenantry server. */
async function findHome(): Promise<void> {
  const url = home(location.href);
  if (url === undefined) return;
  const listed = await new RemoteService(url).tenants();
  if ("tenants" in listed) homeServer.value = url;
}

export function usePage(): void {
  const next = pageService.value;
  if (!next) return;
  write("place", undefined);
  unreachable.value = undefined;
  if (service.value === next) return;
  batch(() => {
    service.value = next;
    tenants.value = [];
    quotas.value = {};
    waits.value = {};
    toast.value = undefined;
    round.value++;
  });
  void showTenants();
}

/** Lets the server at that URL answer. Returns why not, where it can't. */
export async function useServer(typed: string): Promise<string | undefined> {
  const url = serverUrl(typed);
  if (url === undefined) {
    return "That is no server’s URL. It looks like http://127.0.0.1:8001, without a name or password in it.";
  }
  const next = new RemoteService(url);
  const listed = await next.tenants();
  record(listed.exchange);
  if ("problem" in listed) return listed.problem;
  write("place", url);
  batch(() => {
    unreachable.value = undefined;
    service.value = next;
    tenants.value = listed.tenants;
    quotas.value = {};
    waits.value = {};
    toast.value = undefined;
    round.value++;
  });
  return undefined;
}

/** Puts everything back to how a first visit finds it, but for theme and server. Can be undone. */
export async function reset(): Promise<void> {
  const running = pageService.value;
  if (!running) return;
  const before = {
    state: running.state(),
    view: view.value,
    log: log.value,
    draft: draft.value,
    text: text.value,
  };
  const wasRemote = place.value !== undefined;
  const restart = async (tenantsText: string, draftText: string) => {
    running.apply(tenantsText, storage);
    batch(() => {
      text.value = tenantsText;
      draft.value = draftText;
      waits.value = {};
      quotas.value = {};
    });
    write("text", tenantsText === sample ? undefined : tenantsText);
  };
  running.clear();
  await restart(sample, sample);
  replaceView({ conversations: {} });
  log.value = [];
  round.value++;
  await showTenants();
  toast.value = {
    text: wasRemote
      ? "This page forgot all it knew. The server keeps its sessions until they end."
      : "Everything is as it was at the start.",
    undo: () => {
      void (async () => {
        await restart(before.text, before.draft);
        running.restore(before.state);
        await showTenants();
        batch(() => {
          replaceView(before.view);
          log.value = before.log;
          askQuotas();
          toast.value = { text: "Everything is back." };
        });
      })();
    },
  };
}
