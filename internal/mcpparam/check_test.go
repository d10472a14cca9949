package mcpparam_test

import (
	"strings"
	"testing"

	"mcp-gateway/internal/mcpparam"
)

type values map[string][]string

func (v values) of(name string) []string {
	for key, all := range v {
		if strings.EqualFold(key, name) {
			return all
		}
	}
	return nil
}

func TestCheck(t *testing.T) {
	t.Parallel()
	const schema = `{"properties":{"r":{"type":"string","x-mcp-header":"Region"},"n":{"type":"integer","x-mcp-header":"N"}}}`
	for _, tt := range []struct {
		arguments string
		headers   values
		ok        bool
	}{
		{`{"r":"eu","n":42}`, values{"Mcp-Param-Region": {"eu"}, "Mcp-Param-N": {"42.0"}, "Mcp-Param-Other": {"x"}}, true},
		{`{"r":"ü"}`, values{"Mcp-Param-Region": {"=?base64?w7w=?="}}, true},
		{`{"r":"ü"}`, values{"Mcp-Param-Region": {"ü"}}, false},
		{`{"r":"ü"}`, values{"Mcp-Param-Region": {"\xfc"}}, false},
		{`{}`, values{}, true},
		{`{"r":null}`, values{}, true},
		{`{"r":"eu"}`, values{"Mcp-Param-Region": {"us"}}, false},
		{`{"r":"eu"}`, values{"Mcp-Param-Region": {"EU"}}, false},
		{`{"r":"eu"}`, values{"Mcp-Param-Region": {"eu", "eu"}}, false},
		{`{"r":"eu"}`, values{"Mcp-Param-Region": {"=?base64?%?="}}, false},
		{`{"r":"eu"}`, values{}, false},
		{`{}`, values{"Mcp-Param-Region": {"eu"}}, false},
		{`{"n":1}`, values{"Mcp-Param-N": {"2"}}, false},
		{`{"n":42.0}`, values{"Mcp-Param-N": {"4.2e1"}}, true},
		{`{"n":-7}`, values{"Mcp-Param-N": {"-7.0"}}, true},
		{`{"n":9007199254740993}`, values{"Mcp-Param-N": {"9007199254740993"}}, true},
		{`{"n":9007199254740993}`, values{"Mcp-Param-N": {"9007199254740992"}}, false},
		{`{"n":42}`, values{"Mcp-Param-N": {"0x2Ap0"}}, false},
		{`{"n":42}`, values{"Mcp-Param-N": {"+42"}}, false},
	} {
		if err := mcpparam.Check([]byte(schema), []byte(tt.arguments), tt.headers.of); (err == nil) != tt.ok {
			t.Errorf("%s %v: %v", tt.arguments, tt.headers, err)
		}
	}
	if err := mcpparam.Check([]byte(`{"properties":{"r":{"type":"object","x-mcp-header":"R"}}}`), []byte(`{}`), values{"Mcp-Param-R": {"x"}}.of); err != nil {
		t.Errorf("invalid schema: %v", err)
	}
}
