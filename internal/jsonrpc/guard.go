package jsonrpc

import (
	"bytes"
	"hash/maphash"
	"unicode/utf8"
)

// member names a reserved key; its value is one bit.
type member uint32

const (
	memJSONRPC member = 1 << iota
	memID
	memMethod
	memParams
	memResult
	memError
	memName
	memURI
	memCursor
	memRef
	memMeta
	memProtocolVersion
	memArguments
	memMetaVersion
	memProgressToken
	memRefType
	memRefName
	memRefURI
	memProgress
	memCancelled
	memTaskID
	memMetaCapabilities
	memMetaClientInfo
	memMetaLogLevel
)

// object is one of the guarded objects.
type object uint8

const (
	objMessage object = iota
	objParams
	objMeta
	objRef
)

// exact returns the reserved key that is spelled exactly so, 0 if none is. A slash
// may be escaped: the PHP SDK does so, and no parser reads it as anything else.
func (o object) exact(key []byte) member {
	switch o {
	case objMessage:
		switch string(key) {
		case "jsonrpc":
			return memJSONRPC
		case "id":
			return memID
		case "method":
			return memMethod
		case "params":
			return memParams
		case "result":
			return memResult
		case "error":
			return memError
		}
	case objParams:
		switch string(key) {
		case "name":
			return memName
		case "uri":
			return memURI
		case "cursor":
			return memCursor
		case "ref":
			return memRef
		case "_meta":
			return memMeta
		case "protocolVersion":
			return memProtocolVersion
		case "arguments":
			return memArguments
		case "progressToken":
			return memProgress
		case "requestId":
			return memCancelled
		case "taskId":
			return memTaskID
		}
	case objMeta:
		switch string(key) {
		case "io.modelcontextprotocol/protocolVersion", `io.modelcontextprotocol\/protocolVersion`:
			return memMetaVersion
		case "io.modelcontextprotocol/clientCapabilities", `io.modelcontextprotocol\/clientCapabilities`:
			return memMetaCapabilities
		case "io.modelcontextprotocol/clientInfo", `io.modelcontextprotocol\/clientInfo`:
			return memMetaClientInfo
		case "io.modelcontextprotocol/logLevel", `io.modelcontextprotocol\/logLevel`:
			return memMetaLogLevel
		case "progressToken":
			return memProgressToken
		}
	case objRef:
		switch string(key) {
		case "type":
			return memRefType
		case "name":
			return memRefName
		case "uri":
			return memRefURI
		}
	}
	return 0
}

// reserved lists what exact knows, for the slow comparison.
var reserved = [...][]struct {
	name []byte
	member
}{
	objMessage: {
		{[]byte("jsonrpc"), memJSONRPC}, {[]byte("id"), memID}, {[]byte("method"), memMethod},
		{[]byte("params"), memParams}, {[]byte("result"), memResult}, {[]byte("error"), memError},
	},
	objParams: {
		{[]byte("name"), memName}, {[]byte("uri"), memURI}, {[]byte("cursor"), memCursor},
		{[]byte("ref"), memRef}, {[]byte("_meta"), memMeta},
		{[]byte("protocolVersion"), memProtocolVersion}, {[]byte("arguments"), memArguments},
		{[]byte("progressToken"), memProgress}, {[]byte("requestId"), memCancelled},
		{[]byte("taskId"), memTaskID},
	},
	objMeta: {
		{[]byte("io.modelcontextprotocol/protocolVersion"), memMetaVersion},
		{[]byte("io.modelcontextprotocol/clientCapabilities"), memMetaCapabilities},
		{[]byte("io.modelcontextprotocol/clientInfo"), memMetaClientInfo},
		{[]byte("io.modelcontextprotocol/logLevel"), memMetaLogLevel},
		{[]byte("progressToken"), memProgressToken},
	},
	objRef: {{[]byte("type"), memRefType}, {[]byte("name"), memRefName}, {[]byte("uri"), memRefURI}},
}

// longestVariant is the size in bytes of the longest spelling, unescaped, that
// could fold to a reserved name: a k as U+212A takes three bytes.
const longestVariant = 3 * len("io.modelcontextprotocol/clientCapabilities")

// variant returns the reserved key that the token means to a parser that
// unescapes it or folds case as Unicode does (encoding/json does both), 0 if
// there is none. The token is not exact.
func (o object) variant(token []byte) member {
	var buf [6 * longestVariant]byte // an escape takes at most six bytes a character
	if len(token) > len(buf) {
		return 0
	}
	key, _ := Unquote(buf[:0], token)
	for _, r := range reserved[o] {
		if len(key) >= len(r.name) && bytes.EqualFold(key, r.name) {
			return r.member
		}
	}
	return 0
}

// keySet finds duplicates among the keys of one guarded object that are not
// reserved. It keeps seeded 64 bit hashes instead of comparing the keys, so
// that many long keys cost no more than reading them. Two different keys of a
// full object collide with a probability of 2^-53; the message is then refused,
// never misread.
type keySet struct {
	hashes [MaxKeys]uint64
	n      int
}

// add reports whether the key with this hash is new. It keeps MaxKeys keys.
func (k *keySet) add(hash uint64) bool {
	for _, old := range k.hashes[:k.n] {
		if old == hash {
			return false
		}
	}
	if k.n < len(k.hashes) {
		k.hashes[k.n] = hash
		k.n++
	}
	return true
}

// hashKey returns the hash of a valid key token, unescaped.
func hashKey(seed maphash.Seed, token []byte) uint64 {
	inside := token[1 : len(token)-1]
	next := bytes.IndexByte(inside, '\\')
	if next < 0 {
		return maphash.Bytes(seed, inside)
	}
	var h maphash.Hash
	h.SetSeed(seed)
	var char [utf8.UTFMax]byte
	for ; next >= 0; next = bytes.IndexByte(inside, '\\') {
		h.Write(inside[:next])
		r, n := decodeEscape(inside[next:])
		h.Write(char[:utf8.EncodeRune(char[:], r)])
		inside = inside[next+n:]
	}
	h.Write(inside)
	return h.Sum64()
}
