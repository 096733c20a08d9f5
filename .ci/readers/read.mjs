// Reads a topic of employee-left from its beginning to its end, in whatever encoding, and prints a JSON object a record.
//
//	node read.mjs BROKERS TOPIC [REGISTRY]      REGISTRY is the base URL of a registry with Confluent's API
//
// It wants package.json's packages where node looks for them: beside this file, or in a folder above.
import { SchemaRegistry, SchemaType } from '@kafkajs/confluent-schema-registry'
import Ajv from 'ajv'
import addFormats from 'ajv-formats'
import { Kafka as CloudEvents } from 'cloudevents'
import { Kafka, logLevel } from 'kafkajs'
import protobuf from 'protobufjs'

const [brokers, topic, registryURL] = process.argv.slice(2)

// kafkajs reads at read_committed unless told otherwise, and of the compressions only gzip.
const kafka = new Kafka({ brokers: brokers.split(','), logLevel: logLevel.ERROR, retry: { retries: 2 } })

// The validator that the registry's client brings knows no formats, and would not take two versions of a schema, which share their $id.
const ajv = new Ajv.default({ addUsedSchema: false })
addFormats.default(ajv)
const registry = registryURL && new SchemaRegistry({ host: registryURL }, { [SchemaType.JSON]: { ajvInstance: ajv } })
const timestamp = protobuf.common.get('google/protobuf/timestamp.proto').nested
const known = new Set()

// decode gives the event of a value. The content type says what the value is.
async function decode(value, contentType) {
	if (contentType === 'application/json') return JSON.parse(value)
	if (!registry) throw new Error(`${contentType} needs a registry`)
	const id = value.readInt32BE(1)
	if (contentType === 'application/vnd.confluent.protobuf' && !known.has(id)) {
		const { message } = await registry.getSchema(id)
		message.root.addJSON(timestamp) // the client does not follow imports
		known.add(id)
	}
	return registry.decode(value)
}

// time gives RFC 3339 of a time in JSON (text), Avro (milliseconds) or Protobuf (seconds and nanoseconds).
function time(t) {
	return new Date(t.seconds === undefined ? t : Number(t.seconds) * 1000 + t.nanos / 1e6).toISOString()
}

function print(partition, message, value, event) {
	const text = (field) => (Object.hasOwn(value, field) ? value[field] : null) // what is not set stands in the prototype
	console.log(
		JSON.stringify({
			partition,
			offset: Number(message.offset),
			key: message.key.toString(),
			headers: message.headers,
			value: {
				userId: text('userId'), name: text('name'), stateCode: text('stateCode'), mobile: text('mobile'),
				leaveTime: time(value.leaveTime), leaveReason: text('leaveReason'), corpId: text('corpId'), observedAt: time(value.observedAt),
			},
			cloudevent: {
				id: event.id, source: event.source, type: event.type, time: event.time,
				subject: event.subject, dataschema: event.dataschema, datacontenttype: event.datacontenttype,
			},
		}),
	)
}

const admin = kafka.admin()
await admin.connect()
const unread = new Set((await admin.fetchTopicOffsets(topic)).filter((p) => p.low !== p.high).map((p) => p.partition))
await admin.disconnect()

const consumer = kafka.consumer({ groupId: `read-${process.pid}-${Date.now()}` })
const end = new Promise((resolve, reject) => {
	if (unread.size === 0) resolve()
	consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
	consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => {
		if (payload.offsetLag === '0') unread.delete(payload.partition) // batches of nothing but aborted records are announced too
		if (unread.size === 0) resolve()
	})
})
await consumer.connect()
await consumer.subscribe({ topic, fromBeginning: true })
await consumer.run({
	autoCommit: false,
	eachMessage: async ({ partition, message }) => {
		for (const name in message.headers) message.headers[name] = message.headers[name].toString() // the CloudEvents SDK throws on bytes
		const value = await decode(message.value, message.headers['content-type'])
		print(partition, message, value, CloudEvents.toEvent(message))
	},
})
await end
await consumer.disconnect()
