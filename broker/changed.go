package broker

import (
	"mcp-gateway/broker/catalog"
	"mcp-gateway/broker/upstream"
)

// changesBetween returns the lists that differ, for each endpoint that there is.
func changesBetween(old, next *view) map[string]changes {
	all := map[string]changes{}
	for name := range next.endpoints {
		all[name] = changesOf(old.catalog.View(name), next.catalog.View(name))
		if old.configured && old.policy != next.policy {
			all[name] = toolsChanged | promptsChanged | resourcesChanged // for somebody
		}
	}
	return all
}

// announcedBetween returns the lists of which a server has announced a change, for
// each endpoint that shows it, whether or not something in them differs.
func announcedBetween(old, next *view) map[string]changes {
	before := make(map[string]upstream.Announced, len(old.seen))
	for i, s := range old.seen {
		before[old.config.Servers[i].Name] = s.Announced
	}
	all := map[string]changes{}
	for i, s := range next.seen {
		was, known := before[next.config.Servers[i].Name]
		if !known || was == s.Announced {
			continue
		}
		var c changes
		for kind, differs := range map[changes]bool{
			toolsChanged: was.Tools != s.Announced.Tools, promptsChanged: was.Prompts != s.Announced.Prompts,
			resourcesChanged: was.Resources != s.Announced.Resources,
		} {
			if differs {
				c |= kind
			}
		}
		for name := range next.endpoints {
			if next.catalog.View(name).Shows(i) {
				all[name] |= c
			}
		}
	}
	return all
}

func changesOf(old, next *catalog.View) changes {
	var c changes
	if next.Differs(catalog.Tools, old) {
		c |= toolsChanged
	}
	if next.Differs(catalog.Prompts, old) {
		c |= promptsChanged
	}
	if next.Differs(catalog.Resources, old) || next.Differs(catalog.Templates, old) {
		c |= resourcesChanged
	}
	return c
}
