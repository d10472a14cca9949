package envoyconfig

import (
	"fmt"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	filelogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	streamlogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/internal/mcp"
)

// How long a client may take, and how much of one connection Envoy holds.
const (
	requestTimeout = 2 * time.Minute // to send all of a request
	clientIdle     = time.Hour       // between two requests of a connection

	// connectionBuffer bounds what a connection holds for a slow peer. Bodies
	// that the filter reads whole have a limit of their own (bodyBuffer).
	connectionBuffer = 1 << 20
	// HTTP/2 windows: what a client may send ahead on a stream, and in all.
	streamWindow     = 1 << 20
	connectionWindow = 8 << 20
	// connectionStreams are the requests of one HTTP/2 connection at one time. Whoever
	// has more opens another connection, which counts for maxClients.
	connectionStreams = 128
)

func listener(g *gateway.Gateway, manager proto.Message) (*listenerv3.Listener, error) {
	at, err := gateway.SplitListen(g.Listen)
	if err != nil {
		return nil, err
	}
	return &listenerv3.Listener{
		Name:                          ListenerName,
		Address:                       tcpAddress(at.Addr().String(), uint32(at.Port())),
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(connectionBuffer),
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name:       "envoy.filters.network.http_connection_manager",
			ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: pack(manager)},
		}}}},
	}, nil
}

// connectionManager is the HTTP side of the listener, without routes and
// filters. It depends on no server.
func connectionManager(g *gateway.Gateway, p Params) (*hcmv3.HttpConnectionManager, error) {
	logs, err := accessLogs(g.AccessLog)
	if err != nil {
		return nil, err
	}
	return &hcmv3.HttpConnectionManager{
		StatPrefix: "mcp",
		CodecType:  hcmv3.HttpConnectionManager_AUTO,
		// An id that nobody writes down is not made; a client's own goes on.
		GenerateRequestId: wrapperspb.Bool(len(logs) > 0),

		EarlyHeaderMutationExtensions: early(g),
		AccessLog:                     logs,
		// Whom a request is from: the last in X-Forwarded-For but for the proxies that
		// come behind the first one, which is who is connected where there is no such
		// header. No address makes a request one of Envoy's own.
		XffNumTrustedHops:     uint32(max(g.Proxies-1, 0)),
		InternalAddressConfig: &hcmv3.HttpConnectionManager_InternalAddressConfig{},
		// No path is normalised and no address of a client is passed on: the
		// filter compares the path byte for byte, sets the server's own, and takes
		// x-envoy-* headers away. Each would cost on every call.
		// What servers call themselves is no client's business.
		ServerName: "mcp-gateway",
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{
			IdleTimeout: durationpb.New(clientIdle),
			// x_mcp_cluster could pass for x-mcp-cluster behind a server's CGI.
			HeadersWithUnderscoresAction: corev3.HttpProtocolOptions_DROP_HEADER,
			MaxHeadersCount:              wrapperspb.UInt32(uint32(g.Limits.Headers)),
		},
		MaxRequestHeadersKb: wrapperspb.UInt32(uint32(g.Limits.HeaderSize >> 10)),
		Http2ProtocolOptions: &corev3.Http2ProtocolOptions{
			MaxConcurrentStreams:        wrapperspb.UInt32(connectionStreams),
			InitialStreamWindowSize:     wrapperspb.UInt32(streamWindow),
			InitialConnectionWindowSize: wrapperspb.UInt32(connectionWindow),
		},
		// For all streams but those whose route says otherwise.
		StreamIdleTimeout: durationpb.New(brokerIdle),
		// What comes byte by byte is never idle. Headers have no time of their own: who
		// wants to hold a connection may leave it idle.
		RequestTimeout: durationpb.New(requestTimeout),
		LocalReplyConfig: &hcmv3.LocalReplyConfig{Mappers: append([]*hcmv3.ResponseMapper{
			brokenOff(),
			refused(431, "header", "the request's headers exceed the limit"),
			refused(408, "slow", "the request did not arrive in time"),
		}, p.Host.refusals()...)},
	}, nil
}

// brokenOff has Envoy's own answer in place of one that the filter holds back,
// and whose server has gone away, be what the filter left for that. Such an
// answer passes no filter.
func brokenOff() *hcmv3.ResponseMapper {
	held := &matcherv3.MetadataMatcher{
		Filter: "mcp",
		Path:   []*matcherv3.MetadataMatcher_PathSegment{{Segment: &matcherv3.MetadataMatcher_PathSegment_Key{Key: "held"}}},
		Value: &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_StringMatch{
			StringMatch: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: "{"}},
		}},
	}
	return &hcmv3.ResponseMapper{
		Filter: &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_MetadataFilter{
			MetadataFilter: &accesslogv3.MetadataFilter{Matcher: held, MatchIfKeyNotFound: wrapperspb.Bool(false)},
		}},
		StatusCode: wrapperspb.UInt32(200),
		BodyFormatOverride: &corev3.SubstitutionFormatString{
			ContentType: "application/json",
			Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
				Specifier: &corev3.DataSource_InlineString{InlineString: "%DYNAMIC_METADATA(mcp:held)%"},
			}},
		},
	}
}

// refused gives Envoy's own answer with a status the form of the protocol. The
// request has not been read, so its id is unknown.
func refused(status uint32, key, message string) *hcmv3.ResponseMapper {
	return &hcmv3.ResponseMapper{
		Filter: &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_StatusCodeFilter{
			StatusCodeFilter: &accesslogv3.StatusCodeFilter{Comparison: &accesslogv3.ComparisonFilter{
				Op: accesslogv3.ComparisonFilter_EQ,
				// Envoy wants a key, under which an operator could set another value.
				Value: &corev3.RuntimeUInt32{DefaultValue: status, RuntimeKey: "mcp_gateway." + key + "_status"},
			}},
		}},
		BodyFormatOverride: errorBody(mcp.CodeInvalidRequest, message),
	}
}

// errorBody is an error in the protocol's form, of a request that nobody has read.
func errorBody(code int, message string) *corev3.SubstitutionFormatString {
	text := fmt.Sprintf(`{"jsonrpc":"2.0","id":null,"error":{"code":%d,"message":"%s"}}`, code, message)
	return &corev3.SubstitutionFormatString{
		Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
			Specifier: &corev3.DataSource_InlineString{InlineString: text},
		}},
		ContentType: "application/json",
	}
}

func discoveredRoutes() *hcmv3.HttpConnectionManager_Rds {
	return &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: RouteConfigName, ConfigSource: ads()}}
}

// accessLogs writes one JSON object a line. No path (a server's URL may hold
// secrets), no session id, no header of a client.
func accessLogs(target string) ([]*accesslogv3.AccessLog, error) {
	if target == gateway.AccessLogOff {
		return nil, nil
	}
	format, err := structpb.NewStruct(map[string]any{
		"time":        "%START_TIME%",
		"client":      "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
		"protocol":    "%PROTOCOL%",
		"http_method": "%REQ(:METHOD)%",
		"status":      "%RESPONSE_CODE%",
		"details":     "%RESPONSE_CODE_DETAILS%",
		"flags":       "%RESPONSE_FLAGS%",
		"duration_ms": "%DURATION%",
		"received":    "%BYTES_RECEIVED%",
		"sent":        "%BYTES_SENT%",
		"request_id":  "%REQ(X-REQUEST-ID)%",
		"cluster":     "%UPSTREAM_CLUSTER%",
		"method":      "%DYNAMIC_METADATA(mcp:method)%",
		"server":      "%DYNAMIC_METADATA(mcp:server)%",
		"name":        "%DYNAMIC_METADATA(mcp:name)%",
		"error":       "%DYNAMIC_METADATA(mcp:error)%",
		"decision":    "%DYNAMIC_METADATA(mcp:decision)%",
		"rule":        "%DYNAMIC_METADATA(mcp:rule)%",
		"rule_error":  "%DYNAMIC_METADATA(mcp:rule_error)%",
		"principal":   "%DYNAMIC_METADATA(mcp:principal)%",
		"client_id":   "%DYNAMIC_METADATA(mcp:client)%",
	})
	if err != nil {
		return nil, err
	}
	text := &corev3.SubstitutionFormatString{
		Format:          &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: format},
		OmitEmptyValues: true,
	}
	log := &accesslogv3.AccessLog{Name: "envoy.access_loggers.file"}
	if target == gateway.AccessLogStdout {
		log.Name = "envoy.access_loggers.stdout"
		log.ConfigType = &accesslogv3.AccessLog_TypedConfig{TypedConfig: pack(&streamlogv3.StdoutAccessLog{
			AccessLogFormat: &streamlogv3.StdoutAccessLog_LogFormat{LogFormat: text},
		})}
	} else {
		log.ConfigType = &accesslogv3.AccessLog_TypedConfig{TypedConfig: pack(&filelogv3.FileAccessLog{
			Path:            target,
			AccessLogFormat: &filelogv3.FileAccessLog_LogFormat{LogFormat: text},
		})}
	}
	return []*accesslogv3.AccessLog{log}, nil
}
