package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// healthPatience bounds a health check as a whole.
const healthPatience = 3 * time.Second

func healthcheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "healthcheck URL",
		Short: "Ask a health URL, as /readyz of the broker; status 1 unless it answers 2xx within 3s",
		Long:  "Ask a health URL. For containers, which have no other HTTP client.",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client := &http.Client{Timeout: healthPatience}
			r, err := http.NewRequestWithContext(c.Context(), http.MethodGet, args[0], nil)
			if err != nil {
				return err
			}
			answer, err := client.Do(r)
			if err != nil {
				return err
			}
			defer func() { _ = answer.Body.Close() }()
			text, err := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
			if err != nil {
				return err
			}
			said := strings.TrimSpace(string(text))
			if answer.StatusCode/100 != 2 {
				return fmt.Errorf("%s: %s", answer.Status, said)
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), said)
			return err
		},
	}
}
