import { useState, type FormEvent } from "react";
import { Tenantry, TenantryError, type Session } from "tenantry";

interface Props {
  app: Tenantry;
  tenantId: string;
  session: Session;
}

/** A form that says something in a session, as a tenant of choice, and lists the answers. */
export function Chat({ app, tenantId, session }: Props) {
  const [answers, setAnswers] = useState<string[]>([]);

  function send(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const message = String(new FormData(event.currentTarget).get("message"));
    setAnswers((before) => [...before, answer(message)]);
  }

  function answer(message: string): string {
    try {
      return app.chat({ tenantId, sessionId: session.sessionId, message }).reply;
    } catch (error) {
      if (error instanceof TenantryError) return `${error.status} ${error.code}`;
      throw error;
    }
  }

  return (
    <form id={tenantId} onSubmit={send}>
      <input name="message" />
      <button>Send as {tenantId}</button>
      <ul>
        {answers.map((text, index) => (
          <li key={index}>{text}</li>
        ))}
      </ul>
    </form>
  );
}
