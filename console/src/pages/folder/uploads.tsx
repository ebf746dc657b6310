/** Uploads into a folder: files are chosen or dropped; progress, pause, what failed and why. */

import { type ChangeEvent, useEffect, useRef, useState, useSyncExternalStore } from "react";
import { useT } from "@/i18n";
import { disk } from "@/i18n/format";
import { type Send, type UploadFile, UploadQueue } from "@/lib/upload-queue";
import { Button, buttonClass } from "@/ui/button";
import { Card } from "@/ui/card";
import { chosenFiles, withoutCommonDirectory } from "@/upload/dropped";
import styles from "./folder-page.module.css";

type UploadsOf = { queue: UploadQueue; add: (files: readonly UploadFile[]) => void };

/** Return the queue of a folder, the same one as long as the page is of it; `onDone` is called when it has sent all. */
export function useUploads(folder: string, onDone: () => void): UploadsOf {
  const sender = useRef<Promise<Send> | null>(null);
  const [queue] = useState(
    () =>
      new UploadQueue(async (...sending) => {
        sender.current ??= import("@/upload/send").then(({ senderInto }) => senderInto(folder));
        const send = await sender.current.catch((error: unknown) => {
          sender.current = null; // the next one tries again
          throw error;
        });
        return send(...sending);
      }),
  );
  const { files, done, failures } = useSyncExternalStore(queue.onChange, queue.summary);
  const ended = files > 0 && done + failures === files;
  // biome-ignore lint/correctness/useExhaustiveDependencies: when it has ended
  useEffect(() => {
    if (ended) onDone();
  }, [ended]);
  const unfinished = files > 0 && !ended;
  useEffect(() => {
    if (!unfinished) return;
    const ask = (event: BeforeUnloadEvent) => event.preventDefault();
    addEventListener("beforeunload", ask);
    return () => removeEventListener("beforeunload", ask);
  }, [unfinished]);
  return { queue, add: (files) => void queue.add(files) };
}

export function Uploads({ uploads: { queue } }: { uploads: UploadsOf }) {
  const t = useT();
  const { files, bytes, done, sent, failures, failed, sending, paused } = useSyncExternalStore(
    queue.onChange,
    queue.summary,
  );
  if (files === 0) return null;
  const percent = bytes ? (100 * sent) / bytes : 100;
  return (
    <Card>
      <div className={styles.queue}>
        <div className={styles.row}>
          <span role="status">
            {t.folders.sent(done, files)} · {disk(sent)} / {disk(bytes)}
            {sending && ` · ${sending}`}
          </span>
          {sending && !paused && (
            <Button small onPress={() => queue.pause()}>
              {t.folders.pause}
            </Button>
          )}
          {(paused || (failures > 0 && !sending)) && (
            <Button small onPress={() => queue.resume()}>
              {t.folders.resume}
            </Button>
          )}
        </div>
        <div
          className={styles.bar}
          role="progressbar"
          aria-valuenow={Math.floor(percent)}
          aria-label={t.folders.upload}
        >
          <div style={{ width: `${percent}%` }} />
        </div>
        {failed.map((item) => (
          <p key={item.path} className={styles.failed}>
            {item.path}: {item.error}
          </p>
        ))}
      </div>
    </Card>
  );
}

/** Buttons to choose files, or a directory with all below it. */
export function ChooseButtons({ onFiles }: { onFiles: (files: readonly UploadFile[]) => void }) {
  const t = useT();
  const chosen = (event: ChangeEvent<HTMLInputElement>) => {
    const files = chosenFiles(event.target.files as FileList);
    onFiles(withoutCommonDirectory(files));
    event.target.value = "";
  };
  return (
    <span className={styles.buttons}>
      <label className={`${buttonClass("plain", true)} ${styles.choose}`}>
        <input className={styles.hidden} type="file" multiple onChange={chosen} />
        {t.folders.chooseFiles}
      </label>
      <label className={`${buttonClass("plain", true)} ${styles.choose}`}>
        <input className={styles.hidden} type="file" webkitdirectory="" onChange={chosen} />
        {t.folders.chooseDirectory}
      </label>
    </span>
  );
}
