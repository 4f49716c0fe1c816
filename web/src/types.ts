export interface EngineLimit {
  limit: number;
  remaining: number;
  resetMs: number;
  windowMs: number;
}
export interface EngineProblem {
  line: number | undefined;
  member: string | undefined;
  message: string;
}
export interface EngineReport {
  tenants: number;
  problems: EngineProblem[];
  warnings: EngineProblem[];
}
export interface EngineTenant {
  id: string;
  name: string;
  welcome: string;
  model: string;
  limits: { chatPer10s: number | undefined; sessions: number | undefined };
  reply: { style: "reverse" | "upper" | "ack"; tag: string };
}
export interface EngineUsage {
  sessions: number;
  limit: EngineLimit | undefined;
}
export interface EngineSession {
  id: string;
  tenantId: string;
  lastUsedMs: number;
}
