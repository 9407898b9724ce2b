/** Prints what is at an address: `node fetch-text.ts <url>`, to be run in a network namespace. */
const response = await fetch(process.argv[2]!)
process.stdout.write(await response.text())
