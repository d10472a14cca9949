package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// event is an entry of the calendar.
type event struct {
	ID      string `json:"id"`
	Title   string `json:"title"`
	Date    string `json:"date" jsonschema_description:"YYYY-MM-DD"`
	Start   string `json:"start" jsonschema_description:"HH:MM"`
	Minutes int    `json:"minutes"`
}

func (e event) text() string {
	return fmt.Sprintf("%s %s %s (%d min, %s)", e.Date, e.Start, e.Title, e.Minutes, e.ID)
}

type agenda struct {
	Events []event `json:"events"`
}

// calendar is the events of all clients; ids count up and are never used twice.
type calendar struct {
	mu     sync.Mutex
	events []event
	last   int
}

// on lists the events of a date in order of time, or all for an empty date.
func (c *calendar) on(date string) []event {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := []event{}
	for _, e := range c.events {
		if date == "" || e.Date == date {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b event) int {
		return strings.Compare(a.Date+a.Start+a.ID, b.Date+b.Start+b.ID)
	})
	return found
}

func (c *calendar) add(e event) event {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	e.ID = fmt.Sprintf("event-%d", c.last)
	c.events = append(c.events, e)
	return e
}

// remove reports whether there was an event of that id.
func (c *calendar) remove(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := len(c.events)
	c.events = slices.DeleteFunc(c.events, func(e event) bool { return e.ID == id })
	return len(c.events) < before
}

func newCalendar() *server.MCPServer {
	c := &calendar{}
	for _, e := range []event{
		{Title: "Stand-up", Date: "2026-03-02", Start: "09:30", Minutes: 15},
		{Title: "Design review", Date: "2026-03-02", Start: "14:00", Minutes: 60},
		{Title: "Dentist", Date: "2026-03-03", Start: "08:00", Minutes: 45},
	} {
		c.add(e)
	}

	s := server.NewMCPServer("cal", "1.0.0",
		server.WithTitle("Calendar"),
		server.WithInstructions("One shared calendar. Dates are YYYY-MM-DD, times HH:MM."),
		server.WithToolCapabilities(true), server.WithPromptCapabilities(true), server.WithResourceCapabilities(false, true),
		server.WithInputSchemaValidation(), server.WithRecovery())

	date := mcp.Pattern(`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`)
	s.AddTool(mcp.NewTool("list_events", mcp.WithDescription("Events of a day, or all"),
		mcp.WithString("date", mcp.Description("YYYY-MM-DD; all days if left out"), date),
		mcp.WithOutputSchema[agenda](), mcp.WithReadOnlyHintAnnotation(true)), c.listEvents)
	s.AddTool(mcp.NewTool("add_event", mcp.WithDescription("Adds an event"),
		mcp.WithString("title", mcp.Required(), mcp.MinLength(1)),
		mcp.WithString("date", mcp.Required(), mcp.Description("YYYY-MM-DD"), date),
		mcp.WithString("start", mcp.Required(), mcp.Description("HH:MM"), mcp.Pattern(`^[0-9]{2}:[0-9]{2}$`)),
		mcp.WithInteger("minutes", mcp.Description("Length"), mcp.Min(1), mcp.Max(1440), mcp.DefaultNumber(30)),
		mcp.WithOutputSchema[event](), mcp.WithDestructiveHintAnnotation(false)), c.addEvent)
	s.AddTool(mcp.NewTool("delete_event", mcp.WithDescription("Removes an event"),
		mcp.WithString("id", mcp.Required(), mcp.Description("As list_events names it")),
		mcp.WithDestructiveHintAnnotation(true), mcp.WithIdempotentHintAnnotation(true)), c.deleteEvent)

	s.AddPrompt(mcp.NewPrompt("plan_meeting", mcp.WithPromptDescription("Finds a slot for a meeting"),
		mcp.WithArgument("topic", mcp.RequiredArgument(), mcp.ArgumentDescription("What the meeting is about")),
		mcp.WithArgument("date", mcp.ArgumentDescription("YYYY-MM-DD"))), planMeeting)

	s.AddResource(mcp.NewResource("cal://events", "events", mcp.WithResourceTitle("All events"),
		mcp.WithResourceDescription("Every event of the calendar"), mcp.WithMIMEType("application/json")),
		func(_ context.Context, r mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
			return jsonContents(r.Params.URI, agenda{Events: c.on("")})
		})
	s.AddResourceTemplate(mcp.NewResourceTemplate("cal://days/{date}", "day",
		mcp.WithTemplateDescription("Events of one day, YYYY-MM-DD"), mcp.WithTemplateMIMEType("application/json")),
		func(_ context.Context, r mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
			return jsonContents(r.Params.URI, agenda{Events: c.on(strings.TrimPrefix(r.Params.URI, "cal://days/"))})
		})
	return s
}

func (c *calendar) listEvents(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	found := c.on(r.GetString("date", ""))
	text := "no events"
	if len(found) > 0 {
		lines := make([]string, len(found))
		for i, e := range found {
			lines[i] = e.text()
		}
		text = strings.Join(lines, "\n")
	}
	return mcp.NewToolResultStructured(agenda{Events: found}, text), nil
}

func (c *calendar) addEvent(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	e := event{
		Title: r.GetString("title", ""), Date: r.GetString("date", ""), Start: r.GetString("start", ""),
		Minutes: r.GetInt("minutes", 30),
	}
	if _, err := time.Parse("2006-01-02 15:04", e.Date+" "+e.Start); err != nil {
		return mcp.NewToolResultErrorf("%s %s is no date and time", e.Date, e.Start), nil
	}
	e = c.add(e)
	return mcp.NewToolResultStructured(e, "added "+e.text()), nil
}

func (c *calendar) deleteEvent(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	id := r.GetString("id", "")
	if !c.remove(id) {
		return mcp.NewToolResultErrorf("no event %q", id), nil
	}
	return mcp.NewToolResultText("deleted " + id), nil
}

func planMeeting(_ context.Context, r mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
	topic, date := r.Params.Arguments["topic"], r.Params.Arguments["date"]
	if topic == "" {
		return nil, fmt.Errorf("argument topic is missing")
	}
	if date == "" {
		date = "the next working day"
	}
	return mcp.NewGetPromptResult("Find a slot for "+topic, []mcp.PromptMessage{
		mcp.NewPromptMessage(mcp.RoleUser, mcp.NewTextContent(fmt.Sprintf(
			"Find a free slot of 30 minutes on %s for a meeting about %s, and add it to the calendar.", date, topic))),
	}), nil
}
