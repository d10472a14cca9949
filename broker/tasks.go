package broker

import (
	"mcp-gateway/broker/catalog"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/tag"
)

// keyOfTasks is what the filter seals with; nil where nobody proves who it is.
func (b *Broker) keyOfTasks(config gatewayconfig.Broker) []byte {
	if !config.Auth {
		return nil
	}
	return b.taskKey
}

// owner is whose the tasks of a server are that the client asks to hear of.
func (s *listening) owner(server string) tag.Owner {
	if s.who == nil {
		return tag.Owner{}
	}
	return tag.Owner{Key: s.broker.taskKey, Principal: s.who.ID(), Server: server}
}

// task finds the server of a task by the id that the client has for it. False for
// what is not its own.
func (s *listening) task(shown *catalog.View, id string) (server, own string, ok bool) {
	if server, own, ok = shown.Task(id); !ok {
		return "", "", false
	}
	own, ok = s.owner(server).Open(own)
	return server, own, ok
}
