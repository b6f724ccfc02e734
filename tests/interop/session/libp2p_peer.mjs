// A stock js-libp2p node with TCP and Noise. All that is ours is its muxer, which says a few frames of
// /dotagent/mux/1.0.0 by hand: it opens a stream, sends bytes and reads them back.
//
//   node libp2p_peer.mjs FOLDER dial PORT PEER_ID      FOLDER: where node_modules is
//   node libp2p_peer.mjs FOLDER listen
//
// Prints lines of JSON: {"port", "peer"} when it listens; {"remote", "echoed"} once all bytes are back.
import { createHash, webcrypto } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

// What Debian's Node.js 18 lacks of what libp2p takes for granted.
globalThis.crypto ??= webcrypto
globalThis.CustomEvent ??= class CustomEvent extends Event {
  constructor (type, options) {
    super(type, options)
    this.detail = options?.detail ?? null
  }
}
Promise.withResolvers ??= () => {
  const all = {}
  all.promise = new Promise((resolve, reject) => Object.assign(all, { resolve, reject }))
  return all
}
AbortSignal.any ??= (signals) => {
  const controller = new AbortController()
  for (const signal of signals) signal.addEventListener('abort', () => controller.abort(signal.reason))
  return controller.signal
}

const [folder, mode, port, peer] = process.argv.slice(2)
async function load (name) {
  const at = `${folder}/node_modules/${name}`
  const { exports } = JSON.parse(readFileSync(`${at}/package.json`))
  return import(pathToFileURL(`${at}/${exports['.'].import}`))
}
const { createLibp2p } = await load('libp2p')
const { tcp } = await load('@libp2p/tcp')
const { noise } = await load('@chainsafe/libp2p-noise')
const { multiaddr } = await load('@multiformats/multiaddr')

const MUXER = '/dotagent/mux/1.0.0'
const SIZE = 100_000
const print = (value) => console.log(JSON.stringify(value))

function varint (value) {
  if (value < 64) return Buffer.from([value])
  if (value < 16384) return Buffer.from([0x40 | value >> 8, value & 0xff])
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(0x80000000 + value)
  return bytes
}

const frame = (type, ...fields) => Buffer.concat([Buffer.from([type]), ...fields.map(varint)])

class Muxer extends EventTarget {
  constructor (pipe) {
    super()
    Object.assign(this, { protocol: MUXER, streams: [], status: 'open', pipe, received: Buffer.alloc(0) })
    this.echoed = Promise.withResolvers()
    pipe.addEventListener('message', (event) => this.onBytes(Buffer.from(event.data.subarray())))
    pipe.addEventListener('close', () => this.echoed.reject(new Error('closed early')))
    queueMicrotask(() => this.talk(pipe.direction === 'outbound' ? 0 : 1))
  }

  talk (stream) {
    this.stream = stream
    this.expected = Buffer.from(Array.from({ length: SIZE }, (_, i) => i * 7 & 0xff))
    const data = Buffer.concat([Buffer.from('\x05/echo'), this.expected])
    for (let at = 0; at < data.length; at += 10_000) {
      const piece = data.subarray(at, at + 10_000)
      this.pipe.send(Buffer.concat([frame(0x0a, stream, piece.length), piece]))
    }
    this.pipe.send(Buffer.concat([frame(0x10, SIZE), frame(0x11, stream, SIZE)]))
  }

  // Messages of the pipe are those of the session, so frames do not cross their borders.
  onBytes (bytes) {
    while (bytes.length > 0) {
      const fields = []
      const type = bytes[0]
      let at = 1
      const count = { 0x0a: 2, 0x0b: 2, 0x10: 1, 0x11: 2, 0x12: 1, 0x14: 1, 0x15: 2, 0x3a: 2 }[type]
      if (count === undefined) throw new Error(`frame of type ${type}`)
      for (let i = 0; i < count; i++) {
        const size = 1 << (bytes[at] >> 6)
        let value = bytes[at] & 0x3f
        for (let j = 1; j < size; j++) value = value * 256 + bytes[at + j]
        fields.push(value)
        at += size
      }
      if (type === 0x3a) throw new Error(`GOAWAY ${fields[0]}: ${bytes.subarray(at)}`)
      if (type === 0x0a || type === 0x0b) {
        this.received = Buffer.concat([this.received, bytes.subarray(at, at + fields[1])])
        at += fields[1]
      }
      bytes = bytes.subarray(at)
    }
    if (this.received.length < SIZE) return
    if (!this.received.equals(this.expected)) throw new Error('other bytes came back')
    this.echoed.resolve(createHash('sha256').update(this.received).digest('hex'))
  }

  async createStream () { throw new Error('this muxer has one stream only') }
  abort () {}
  async close () {}
}

const made = Promise.withResolvers()
const node = await createLibp2p({
  addresses: { listen: mode === 'listen' ? ['/ip4/127.0.0.1/tcp/0'] : [] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [() => ({
    protocol: MUXER,
    createStreamMuxer: (pipe) => {
      const muxer = new Muxer(pipe)
      made.resolve(muxer)
      return muxer
    }
  })]
})
const opened = Promise.withResolvers()
node.addEventListener('connection:open', (event) => opened.resolve(event.detail.remotePeer.toString()))
if (mode === 'listen') {
  print({ port: Number(node.getMultiaddrs()[0].toString().match(/tcp\/(\d+)/)[1]), peer: node.peerId.toString() })
} else {
  await node.dial(multiaddr(`/ip4/127.0.0.1/tcp/${port}/p2p/${peer}`))
}
const muxer = await made.promise
print({ remote: await opened.promise, self: node.peerId.toString(), echoed: await muxer.echoed.promise })
process.exit(0)
