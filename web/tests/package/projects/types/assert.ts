/** Compiles for `true` alone. */
export declare function is<True extends true>(): undefined;

/** Whether two types are the same, `any` being none but itself. */
export type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Whether a type is `any`. */
export type IsAny<A> = 0 extends 1 & A ? true : false;

/** Whether a value of one type can be used as one of another. */
export type Is<A, B> = IsAny<A> extends true ? false : [A] extends [B] ? true : false;

/** Whether no member of any of these types is `any`. */
export type NoneAny<Types extends unknown[]> = true extends {
  [Index in keyof Types]: IsAny<Types[Index][keyof Types[Index]]>;
}[number]
  ? false
  : true;
