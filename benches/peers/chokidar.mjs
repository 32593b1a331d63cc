// chokidar with usePolling: each file that it reports as added, one a line.
//     node chokidar.mjs MODULE ROOT MILLISECONDS [STABLE_MILLISECONDS]
// `interval` and `binaryInterval` are the polling intervals of files by extension (.tgz counts as binary);
// `awaitWriteFinish` holds an event back until the size is the same for so long (chokidar's README).

import { writeSync } from "node:fs";

const [module, root, interval, stable] = process.argv.slice(2);
const { watch } = await import(module);
watch(root, {
    usePolling: true,
    interval: Number(interval),
    binaryInterval: Number(interval),
    ignoreInitial: true,
    awaitWriteFinish: stable ? { stabilityThreshold: Number(stable), pollInterval: 1000 } : false,
}).on("add", (path) => writeSync(1, `${path}\n`));
