/** Read by svelte-check; the build takes its own options from vite.config.ts. */
export default { compilerOptions: { runes: true } };
