package v1alpha1

// Sessions says where sessions of clients live, and how long.
//
// +kubebuilder:validation:XValidation:rule="(self.store == 'Redis') == has(self.redisRef)",message="redisRef goes with store: Redis"
// +kubebuilder:validation:XValidation:rule="self.store != 'Token' || has(self.keysRef)",message="the store Token needs keysRef: its ids are sealed"
// +kubebuilder:validation:XValidation:rule="has(self.redisRef) || !has(self.redis)",message="redis goes with store: Redis"
type Sessions struct {
	// Store: Memory is for one broker; Redis is shared by all; Token keeps sessions in
	// their own ids.
	// +kubebuilder:validation:Enum=Memory;Redis;Token
	Store string `json:"store"`
	// RedisRef is the address, redis://..., rediss://... or that of Sentinels or a
	// cluster.
	// +optional
	RedisRef *SecretKeyReference `json:"redisRef,omitempty"`
	// Redis is what there is to say of it besides its address.
	// +optional
	Redis *Redis `json:"redis,omitempty"`
	// KeysRef is a Secret whose values seal what is stored: the one under the name
	// that sorts last seals, all open.
	// +optional
	KeysRef *LocalReference `json:"keysRef,omitempty"`
	// IdleTimeout ends a session that nobody used for so long; left out, 24h.
	// +optional
	IdleTimeout *Duration `json:"idleTimeout,omitempty"`
	// Lifetime ends any session; left out, 168h.
	// +optional
	Lifetime *Duration `json:"lifetime,omitempty"`
}

// Redis is how to be let in by a Redis, and how to know it.
type Redis struct {
	// AuthRef is a Secret of which these count: username and password, sentinelUsername
	// and sentinelPassword, ca.crt that its certificate is checked against, tls.crt and
	// tls.key that it is shown.
	// +optional
	AuthRef *LocalReference `json:"authRef,omitempty"`
	// ServerName is the name in its certificate; left out, that of the address.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	ServerName string `json:"serverName,omitempty"`
}

// Values of Sessions.Store.
const (
	StoreRedis = "Redis"
	StoreToken = "Token"
)
