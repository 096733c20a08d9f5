// Validates an AsyncAPI document with what it refers to:
//
//	npm ci --ignore-scripts && node validate.js ../../schema/asyncapi.yaml
//
// An error or a warning ends it with 1; advice is shown only. The parser does not look at examples: a Go test of schema does.
import { readFile } from 'node:fs/promises'
import { Parser } from '@asyncapi/parser'

const severities = ['error', 'warning', 'information', 'hint']
const [source] = process.argv.slice(2)
const { document, diagnostics } = await new Parser().parse(await readFile(source, 'utf8'), { source })
for (const d of diagnostics) {
  console.log(`${source}:${d.range.start.line + 1}: ${severities[d.severity]}: ${d.message} (${d.code}, ${d.path.join('.')})`)
}
if (!document || diagnostics.some(d => ['error', 'warning'].includes(severities[d.severity]))) process.exit(1)
console.log(`${source}: AsyncAPI ${document.version()}, ${document.channels().length} channels, ${document.allMessages().length} messages`)
