package events

import (
	"encoding/json"
	"strings"
)

// Engine.IO 4: the first byte of each WebSocket message.
const (
	engineOpen    = '0'
	engineClose   = '1'
	enginePing    = '2'
	enginePong    = '3'
	engineMessage = '4'
)

// Socket.IO 5: the first byte of an engineMessage's content.
const (
	socketConnect      = '0'
	socketDisconnect   = '1'
	socketEvent        = '2'
	socketConnectError = '4'
)

// packet is a Socket.IO packet: <type>[<attachments>-][<namespace>,][<id>][<JSON>].
type packet struct {
	kind      byte
	namespace string
	data      string
}

func parsePacket(s string) (packet, bool) {
	if s == "" {
		return packet{}, false
	}
	p := packet{kind: s[0], namespace: "/", data: s[1:]}
	if strings.HasPrefix(p.data, "/") {
		p.namespace, p.data, _ = strings.Cut(p.data, ",")
		p.namespace, _, _ = strings.Cut(p.namespace, "?")
	}
	return p, true
}

// encode is a packet as a WebSocket message.
func encode(kind byte, namespace string, data any) []byte {
	message := []byte{engineMessage, kind}
	if namespace != "/" {
		message = append(append(message, namespace...), ',')
	}
	body, err := json.Marshal(data)
	if err != nil {
		panic(err) // only strings of ours
	}
	return append(message, body...)
}
