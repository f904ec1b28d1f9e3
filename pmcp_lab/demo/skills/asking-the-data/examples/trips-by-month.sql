SELECT substr(date, 1, 7) AS month, rider, count(*) AS trips
FROM trip
GROUP BY month, rider
ORDER BY month
