// node run.mjs FILE.wasm: ten requests, decided by four replicas that live in one WebAssembly module.
import { readFile } from "node:fs/promises";
const { instance } = await WebAssembly.instantiate(await readFile(process.argv[2]), {});
const decided = instance.exports.decide(10);
console.log(`${decided} of 10 requests decided in WebAssembly`);
process.exit(decided === 10 ? 0 : 1);
