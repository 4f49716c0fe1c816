/** Texts that the build puts into the program. */
declare module "*.jsonl" {
  const text: string;
  export default text;
}
