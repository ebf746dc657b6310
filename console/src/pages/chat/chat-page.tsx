/** Chat with a service: choose service and model, ask, see the answer as it comes, stop it. */

import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { type FormEvent, type KeyboardEvent, useEffect, useRef, useState } from "react";
import { callUrl } from "@/api/call";
import { useModelNames } from "@/api/model-names";
import { serviceQuery, servicesQuery } from "@/api/services";
import { Message } from "@/chat/message";
import { type Chat, type ChatSettings, useChat } from "@/chat/use-chat";
import { useT } from "@/i18n";
import { Button, buttonClass } from "@/ui/button";
import { Empty } from "@/ui/card";
import { Choice } from "@/ui/choice";
import { Dialog } from "@/ui/dialog";
import { TextField } from "@/ui/field";
import styles from "./chat-page.module.css";

const END_PX = 60;
type Chosen = Omit<ChatSettings, "url" | "model">;

export function ChatPage() {
  const t = useT();
  const search = useSearch({ from: "/chat" });
  const navigate = useNavigate();
  const services = useInfiniteQuery(servicesQuery({ phase: "deployed", sort: "name" })).data?.pages[0]?.items ?? [];
  const name = search.service ?? services[0]?.name ?? "";
  const { data: service } = useQuery({ ...serviceQuery(name), enabled: name !== "" });
  const models = useModelNames(service);
  const model = search.model ?? models?.[0] ?? "";
  const [chosen, setChosen] = useState<Chosen>({ system: "", temperature: "", maxTokens: "" });
  const chat = useChat();
  const settings = { ...chosen, model, url: callUrl(name, "v1/chat/completions") };
  const names = [...new Set([...(name ? [name] : []), ...services.map((one) => one.name)])];
  if (name === "")
    return (
      <Empty
        title={t.chat.noService}
        action={
          <Link to="/services/new" search={{}} className={buttonClass("primary")}>
            {t.services.new}
          </Link>
        }
      />
    );
  return (
    <div className={styles.page}>
      <div className={styles.bar}>
        <h1>{t.chat.title}</h1>
        <Choice
          label={t.chat.service}
          hideLabel
          value={name}
          onChange={(value) => void navigate({ to: "/chat", search: { service: value }, replace: true })}
          options={names.map((value) => ({ value, label: value }))}
        />
        {models && models.length > 1 && (
          <Choice
            label={t.chat.model}
            hideLabel
            value={model}
            onChange={(value) => void navigate({ to: "/chat", search: { service: name, model: value }, replace: true })}
            options={models.map((value) => ({ value, label: value }))}
          />
        )}
        <Settings chosen={chosen} onChange={setChosen} />
        {chat.messages.length > 0 && !chat.busy && <Button onPress={chat.clear}>{t.chat.clear}</Button>}
      </div>
      <Messages chat={chat} settings={settings} service={name} />
      <Composer chat={chat} settings={settings} ready={models !== null} />
    </div>
  );
}

function Messages({ chat, settings, service }: { chat: Chat; settings: ChatSettings; service: string }) {
  const t = useT();
  const place = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  // biome-ignore lint/correctness/useExhaustiveDependencies: at each part of an answer
  useEffect(() => {
    if (atEnd.current) place.current?.scrollTo(0, place.current.scrollHeight);
  }, [chat.messages]);
  const scrolled = () => {
    const now = place.current;
    if (now) atEnd.current = now.scrollHeight - now.scrollTop - now.clientHeight < END_PX;
  };
  return (
    <div ref={place} className={styles.scroll} onScroll={scrolled}>
      {chat.messages.length === 0 ? (
        <Empty title={t.chat.empty(service)}>{t.chat.emptyHelp}</Empty>
      ) : (
        <div className={styles.list} role="log" aria-live="off">
          {chat.messages.map((message, index) => (
            <Message
              key={message.id}
              message={message}
              onAgain={
                chat.busy
                  ? null
                  : (text) => {
                      const question = message.role === "user" ? message : chat.messages[index - 1];
                      if (question) chat.again(question.id, text ?? question.text, settings);
                    }
              }
            />
          ))}
        </div>
      )}
    </div>
  );
}

function Composer({ chat, settings, ready }: { chat: Chat; settings: ChatSettings; ready: boolean }) {
  const t = useT();
  const [text, setText] = useState("");
  const send = () => {
    if (!text.trim() || chat.busy || !ready) return;
    chat.send(text, settings);
    setText("");
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    send();
  };
  const key = (event: KeyboardEvent) => {
    if (event.key === "Escape") chat.stop();
    if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
      event.preventDefault();
      send();
    }
  };
  return (
    <form className={styles.composer} onSubmit={submit}>
      <div className={styles.inner}>
        <textarea
          aria-label={t.chat.message}
          placeholder={t.chat.placeholder}
          rows={1}
          value={text}
          onChange={(event) => setText(event.target.value)}
          onKeyDown={key}
          maxLength={200_000}
        />
        {chat.busy ? (
          <Button onPress={chat.stop}>{t.chat.stop}</Button>
        ) : (
          <Button kind="primary" type="submit" disabled={!text.trim() || !ready}>
            {t.chat.send}
          </Button>
        )}
      </div>
    </form>
  );
}

function Settings({ chosen, onChange }: { chosen: Chosen; onChange: (chosen: Chosen) => void }) {
  const t = useT();
  const [open, setOpen] = useState(false);
  return (
    <>
      <Button kind="quiet" onPress={() => setOpen(true)}>
        {t.chat.settings}
      </Button>
      {open && (
        <Dialog
          title={t.chat.settings}
          onClose={() => setOpen(false)}
          actions={
            <Button kind="primary" onPress={() => setOpen(false)}>
              {t.common.close}
            </Button>
          }
        >
          <div className={styles.settings}>
            <TextField
              label={t.chat.system}
              value={chosen.system}
              onChange={(system) => onChange({ ...chosen, system })}
              lines={3}
              maxLength={20_000}
            />
            <TextField
              label={t.chat.temperature}
              value={chosen.temperature}
              onChange={(temperature) => onChange({ ...chosen, temperature })}
              help={t.chat.modelDefault}
              type="number"
            />
            <TextField
              label={t.chat.maxTokens}
              value={chosen.maxTokens}
              onChange={(maxTokens) => onChange({ ...chosen, maxTokens })}
              help={t.chat.modelDefault}
              type="number"
            />
          </div>
        </Dialog>
      )}
    </>
  );
}
