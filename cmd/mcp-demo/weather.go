package main

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/url"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// A forecast takes this long for each of its days.
const forecastStep = 250 * time.Millisecond

// report is the weather of one city on one day.
type report struct {
	City        string `json:"city"`
	Day         int    `json:"day" jsonschema_description:"0 is today"`
	Conditions  string `json:"conditions"`
	Temperature int    `json:"temperature"`
	Unit        string `json:"unit" jsonschema:"enum=celsius,enum=fahrenheit"`
	Humidity    int    `json:"humidity" jsonschema_description:"percent"`
	Wind        int    `json:"wind" jsonschema_description:"km/h"`
}

type forecast struct {
	City string   `json:"city"`
	Days []report `json:"days"`
}

// weatherOf invents the weather from the city's name: always the same.
func weatherOf(city string, day int, unit string) report {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s/%d", strings.ToLower(strings.TrimSpace(city)), day)
	n := h.Sum64()
	pick := func(limit uint64) int {
		v := n % limit
		n /= limit
		return int(v)
	}
	conditions := []string{"sunny", "partly cloudy", "cloudy", "light rain", "rain", "thunderstorm", "fog", "snow showers"}
	r := report{City: city, Day: day, Unit: "celsius", Conditions: conditions[pick(7)]}
	r.Temperature = pick(33) - 4
	r.Humidity = 35 + pick(60)
	r.Wind = pick(45)
	if r.Temperature <= 1 {
		r.Conditions = conditions[7]
	}
	if unit == "fahrenheit" {
		r.Unit, r.Temperature = unit, r.Temperature*9/5+32
	}
	return r
}

// text is one line for people.
func (r report) text() string {
	unit := "°C"
	if r.Unit == "fahrenheit" {
		unit = "°F"
	}
	return fmt.Sprintf("%s: %s, %d%s, humidity %d%%, wind %d km/h", r.City, r.Conditions, r.Temperature, unit, r.Humidity, r.Wind)
}

func newWeather() *server.MCPServer {
	s := server.NewMCPServer("weather", "1.0.0",
		server.WithTitle("Weather"),
		server.WithInstructions("Weather of any city. The numbers are invented, but always the same for a city."),
		server.WithToolCapabilities(true), server.WithPromptCapabilities(true), server.WithResourceCapabilities(false, true),
		server.WithInputSchemaValidation(), server.WithRecovery(), server.WithLogging())

	city := mcp.WithString("city", mcp.Required(), mcp.Description("Name of the city"), mcp.MinLength(1))
	unit := mcp.WithString("unit", mcp.Description("Unit of temperature"), mcp.Enum("celsius", "fahrenheit"), mcp.DefaultString("celsius"))
	s.AddTool(mcp.NewTool("get_weather", mcp.WithDescription("Current weather of a city"),
		mcp.WithToolTitle("Current weather"), city, unit, mcp.WithOutputSchema[report](), mcp.WithReadOnlyHintAnnotation(true)),
		getWeather)
	s.AddTool(mcp.NewTool("get_forecast",
		mcp.WithDescription("Forecast for some days; takes a quarter of a second for each, and reports progress if asked to"),
		mcp.WithToolTitle("Forecast"), city, unit,
		mcp.WithInteger("days", mcp.Description("Number of days"), mcp.Min(1), mcp.Max(40), mcp.DefaultNumber(5)),
		mcp.WithOutputSchema[forecast](), mcp.WithReadOnlyHintAnnotation(true)),
		getForecast)
	s.AddTool(mcp.NewTool("fail", mcp.WithDescription("Always fails, to show what a client makes of it"),
		mcp.WithString("message", mcp.Description("What the error says"), mcp.DefaultString("the weather station is out of order"))),
		func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultError(r.GetString("message", "the weather station is out of order")), nil
		})

	s.AddPrompt(mcp.NewPrompt("pack_bag", mcp.WithPromptDescription("What to pack for a trip"),
		mcp.WithArgument("city", mcp.RequiredArgument(), mcp.ArgumentDescription("Where the trip goes")),
		mcp.WithArgument("days", mcp.ArgumentDescription("How long it takes"))),
		packBag)

	s.AddResource(mcp.NewResource("weather://stations", "stations", mcp.WithResourceTitle("Weather stations"),
		mcp.WithResourceDescription("Cities with a weather station"), mcp.WithMIMEType("application/json")),
		func(_ context.Context, r mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
			return jsonContents(r.Params.URI, []string{"Berlin", "Nairobi", "Reykjavik", "Singapore", "Valparaíso"})
		})
	s.AddResourceTemplate(mcp.NewResourceTemplate("weather://cities/{city}/current", "current",
		mcp.WithTemplateDescription("Current weather of a city"), mcp.WithTemplateMIMEType("application/json")),
		func(_ context.Context, r mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
			middle := strings.TrimSuffix(strings.TrimPrefix(r.Params.URI, "weather://cities/"), "/current")
			city, err := url.PathUnescape(middle)
			if err != nil {
				return nil, fmt.Errorf("city %q: %w", middle, err)
			}
			return jsonContents(r.Params.URI, weatherOf(city, 0, "celsius"))
		})
	return s
}

func getWeather(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	now := weatherOf(r.GetString("city", ""), 0, r.GetString("unit", ""))
	result := mcp.NewToolResultStructured(now, now.text())
	result.Content = append(result.Content, mcp.NewResourceLink("weather://cities/"+url.PathEscape(now.City)+"/current",
		"current", "Current weather of "+now.City, "application/json"))
	return result, nil
}

func getForecast(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	f := forecast{City: r.GetString("city", "")}
	days := r.GetInt("days", 5)
	var text strings.Builder
	for day := range days {
		one := weatherOf(f.City, day, r.GetString("unit", ""))
		f.Days = append(f.Days, one)
		fmt.Fprintf(&text, "day %d: %s\n", day, one.text())
		if meta := r.Params.Meta; meta != nil && meta.ProgressToken != nil {
			// A client that has gone away ends ctx; nothing else is to be done.
			_ = server.ServerFromContext(ctx).SendNotificationToClient(ctx, "notifications/progress", map[string]any{
				"progressToken": meta.ProgressToken, "progress": day + 1, "total": days,
				"message": fmt.Sprintf("day %d of %d", day+1, days),
			})
		}
		// After the report, and for the whole time however late it is: the library
		// may lose one that is followed at once by the result, or take two that
		// are close for each other.
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(forecastStep):
		}
	}
	return mcp.NewToolResultStructured(f, text.String()), nil
}

func packBag(_ context.Context, r mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
	city, days := r.Params.Arguments["city"], r.Params.Arguments["days"]
	if city == "" {
		return nil, fmt.Errorf("argument city is missing")
	}
	if days == "" {
		days = "3"
	}
	return mcp.NewGetPromptResult("What to pack for "+city, []mcp.PromptMessage{
		mcp.NewPromptMessage(mcp.RoleUser, mcp.NewTextContent(fmt.Sprintf(
			"I travel to %s for %s days. Look up the forecast and tell me what to pack, in at most ten items.", city, days))),
	}), nil
}

// jsonContents is v as the one content of a resource.
func jsonContents(uri string, v any) ([]mcp.ResourceContents, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", uri, err)
	}
	return []mcp.ResourceContents{mcp.TextResourceContents{URI: uri, MIMEType: "application/json", Text: string(text)}}, nil
}
