module policies/my-router

go 1.24

require howdah v0.0.0

replace howdah => ./howdah/sdk/go
