/** llhttp compiled to WebAssembly, as undici ships it (MIT); undici has no types for this file. */
declare module 'undici/lib/llhttp/llhttp-wasm.js' {
  const wasm: Uint8Array;
  export = wasm;
}

/** What llhttp.ts uses of it; TypeScript has these only among the types of browsers. */
declare namespace WebAssembly {
  interface Memory {
    buffer: ArrayBuffer;
  }
  type Module = object;
  const Module: new (bytes: Uint8Array) => Module;
  class Instance {
    readonly exports: unknown;
    constructor(module: Module, imports: Record<string, Record<string, (...args: number[]) => number>>);
  }
}
